"""A pairs data set with rejects of several kinds, whose source photos exist or do not."""

from pathlib import Path
from typing import Any

import numpy as np

from rayboot.data.images import encode_image, make_thumbnail
from rayboot.geometry.camera import rotation_yaw_pitch
from tests.data.pair_sets import face, write_pairs, write_rejects

HOSTILE = "<script>window.hacked = 1</script>.jpg"
CONFIDENCES = (0.9, 0.5, 0.8, 0.45, 0.7, 0.6)
YAWS_DEG = (0.0, -15.0, 5.0, 20.0, -8.0, 12.0)


def posed_face(index: int, confidence: float, yaw_deg: float) -> dict[str, Any]:
    """A row of a face with a pose; those of ``pair_sets`` have none."""
    gaze = rotation_yaw_pitch(np.radians(yaw_deg), 0.1)[:, 2]
    return {**face(index), "pose_confidence": confidence, "gaze": gaze.tolist()}


def reject(name: str, stage: str, reason: str, **columns: object) -> dict[str, object]:
    message = f"{name} is {reason}"
    return {"face_id": name, "stage": stage, "reason": reason, "message": message, **columns}


def write_mixed_pairs(folder: Path) -> str:
    """Writes six faces and seven rejects; returns the URI of the data set."""
    poses = zip(CONFIDENCES, YAWS_DEG, strict=True)
    faces = [posed_face(index, *pose) for index, pose in enumerate(poses)]
    faces[3]["face_id"] = HOSTILE
    write_pairs(folder / "pairs", faces, rows_per_file=4)
    photo = np.full((40, 60, 3), 90, np.uint8)
    source = folder / "source.jpg"
    source.write_bytes(encode_image(photo, "jpeg"))
    (folder / "cut.jpg").write_bytes(source.read_bytes()[:400])
    stored = make_thumbnail(photo)
    unread = {
        "again.jpg": ("read", "duplicate", source),
        "cut.jpg": ("read", "truncated", folder / "cut.jpg"),
        "gone.jpg": ("read", "missing", folder / "gone.jpg"),
        "bomb.jpg": ("read", "crashed", source),
    }
    rejects = [
        reject(name, stage, reason, source_uri=str(uri))
        for name, (stage, reason, uri) in unread.items()
    ]
    rejects += [
        reject(f"side-{index}.jpg", "select", "not-frontal", thumbnail=stored) for index in range(3)
    ]
    return write_rejects(folder / "pairs", rejects)
