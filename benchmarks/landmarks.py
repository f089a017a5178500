"""How far the landmarks of ``rayboot.reconstruct`` are from those of AFLW2000-3D, in the image.

``python benchmarks/landmarks.py --data ../shared/faces/AFLW2000`` prints, by the confidence of the
pose, the error of brows, nose, eyes and mouth in % of the outer eye distance in 3D.
"""

import argparse
import itertools
from pathlib import Path

import numpy as np
import scipy.io

from rayboot.data.images import decode_photo
from rayboot.errors import RaybootError
from rayboot.geometry.camera import pixel_from_crop
from rayboot.geometry.crop import apply_affine, landmark_crop, warp_photo
from rayboot.geometry.landmarks68 import interocular_distance
from rayboot.geometry.pose import landmarks_from_pose
from rayboot.inference.face_model import load

_JAW_END = 17
_EDGES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/faces/AFLW2000"))
    parser.add_argument("--model", default="builtin:base")
    parser.add_argument("--photos", type=int, default=160)
    arguments = parser.parse_args()
    files = sorted(arguments.data.rglob("*.mat"))
    order = np.random.default_rng(0).permutation(len(files))[: arguments.photos]
    rows = np.array([row for i in order if (row := _measure(files[i], arguments.model))])
    print(f"{len(rows)} photos of {len(order)}")
    for low, high in [*itertools.pairwise(_EDGES), (0.4, 1.0)]:
        errors = rows[(rows[:, 0] >= low) & (rows[:, 0] < high), 1]
        if len(errors):
            median, ninetieth = np.percentile(errors, [50, 90])
            print(
                f"confidence {low:.1f} to {high:.1f}: {len(errors)} photos, median {median:.1f} %, "
                f"90th percentile {ninetieth:.1f} %"
            )


def _measure(path: Path, model: str) -> tuple[float, float] | None:
    """Returns confidence and error of one photo; None where it has no landmarks or no shape."""
    values = scipy.io.loadmat(path)
    if "pt3d_68" not in values:
        return None
    network = load(model)
    size = network.config.resolution
    # MATLAB counts pixels from 1.
    true = values["pt3d_68"][:2].T.astype(float) - 1
    affine = landmark_crop(true, size)
    crop = warp_photo(decode_photo(path.with_suffix(".jpg").read_bytes()), affine, size)
    in_depth = np.column_stack([true, values["pt3d_68"][2]]) * affine[0, 0]
    try:
        face = network.reconstruct(crop, detect_faces=False)
        # Below the limit of confidence, to show why there is one.
        landmarks = face.landmarks
        if landmarks is None:
            landmarks = landmarks_from_pose(face.pose)
        confidence = face.pose.confidence
    except RaybootError:
        return None
    error = pixel_from_crop(landmarks, size, size) - apply_affine(affine, true)
    distance = np.linalg.norm(error[_JAW_END:], axis=1).mean()
    return confidence, 100 * distance / interocular_distance(in_depth)


if __name__ == "__main__":
    main()
