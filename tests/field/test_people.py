"""Photos of several people: the largest face alone, or a mesh of each."""

import re
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest

from rayboot.data.detector import FaceDetector
from rayboot.data.images import decode_photo, encode_image
from rayboot.data.readers import list_photos
from rayboot.errors import RequestError
from rayboot.pipeline.export_meshes import export_meshes
from rayboot.pipeline.export_request import FaceChoice, ReconstructConfig, prepare_export
from rayboot.pipeline.in_process_executor import InProcessExecutor

CONFIG = ReconstructConfig(kinds=("ply",))


@pytest.fixture
def album(synthetic_set: str, tmp_path: Path) -> Path:
    """A photo of two synthetic people, one of the larger alone, and one of nobody."""
    folder = tmp_path / "album"
    folder.mkdir()
    first, second = (
        cv2.resize(decode_photo(Path(row["source_uri"]).read_bytes()), (256, 256))
        for row in list_photos(synthetic_set).to_pylist()[:2]
    )
    beside = np.full((256, 200, 3), 90, np.uint8)
    beside[28:178, :150] = cv2.resize(second, (150, 150), interpolation=cv2.INTER_AREA)
    (folder / "two.png").write_bytes(encode_image(np.hstack([first, beside]), "png"))
    # Numbered meshes of two.png would have its name, were it not numbered itself.
    (folder / "two-1.png").write_bytes(encode_image(first, "png"))
    (folder / "nobody.png").write_bytes(encode_image(np.full_like(first, 90), "png"))
    return folder


def reconstruct(folder: Path, output: Path, faces: FaceChoice) -> list[dict]:
    plan = prepare_export("builtin:compact", str(folder), str(output), CONFIG, faces=faces)
    summary = export_meshes(plan, InProcessExecutor())
    rows = pq.read_table(output / "index.parquet").to_pylist()
    assert summary.num_meshes == len([row for row in rows if row["ply"]])
    assert {str(path.relative_to(output)) for path in output.rglob("*.ply")} == {
        row["ply"] for row in rows if row["ply"]
    }
    return rows


def test_every_face_has_its_mesh(detector: FaceDetector, album: Path, tmp_path: Path) -> None:
    rows = reconstruct(album, tmp_path / "all", "all")
    assert [(row["face_id"], row["face"], row["ply"], row["reason"]) for row in rows] == [
        ("nobody.png", None, None, "no-face"),
        ("two-1.png", "1 of 1", "two-1-1.ply", None),
        ("two.png", "1 of 2", "two-1.ply", None),
        ("two.png", "2 of 2", "two-2.ply", None),
    ]
    meshes = {row["ply"]: (tmp_path / "all" / row["ply"]).read_bytes() for row in rows[1:]}
    assert len(set(meshes.values())) == 3
    # The second person is right of the first: a crop maps px of the photo to those of the crop.
    left, right = (-row["crop"][2] / row["crop"][0] for row in rows[2:])
    assert right - left > 150
    largest = reconstruct(album, tmp_path / "largest", "largest")
    assert [(row["face"], row["ply"]) for row in largest] == [
        (None, None), ("1 of 1", "two-1.ply"), ("1 of 2", "two.ply"),
    ]  # fmt: skip
    assert (tmp_path / "largest/two.ply").read_bytes() == meshes["two-1.ply"]
    with pytest.raises(RequestError, match="begun with another faces"):
        reconstruct(album, tmp_path / "all", "largest")
    with pytest.raises(RequestError, match="begun with another faces"):
        reconstruct(album, tmp_path / "largest", "all")


def test_landmarks_mark_one_face(synthetic_set: str, tmp_path: Path) -> None:
    photo = list_photos(synthetic_set).to_pylist()[0]
    plan = prepare_export(
        "builtin:compact", photo["source_uri"], str(tmp_path), CONFIG, faces="all"
    )
    assert export_meshes(plan, InProcessExecutor()).num_meshes == 1
    (row,) = pq.read_table(tmp_path / "index.parquet").to_pylist()
    assert (row["face"], row["ply"]) == (None, f"{Path(photo['face_id']).stem}-1.ply")


def test_real_groups_have_as_many_meshes_as_annotated_people(
    detector: FaceDetector, shared_dir: Path, tmp_path: Path
) -> None:
    folder = shared_dir / "faces/wild/dlib-faces"
    annotated = "".join(path.read_text("utf-8") for path in sorted(folder.glob("*.xml")))
    names = ("2008_001009.jpg", "2008_001322.jpg", "2009_004587.jpg")
    inputs = tuple(str(folder / name) for name in names)
    plan = prepare_export("builtin:compact", inputs, str(tmp_path), CONFIG, faces="all")
    export_meshes(plan, InProcessExecutor())
    rows = pq.read_table(tmp_path / "index.parquet").to_pylist()
    for name in names:
        boxes = re.search(f"<image file='{name}'.*?</image>", annotated, re.DOTALL)
        assert boxes is not None
        count = boxes[0].count("<box")
        assert [row["face"] for row in rows if row["face_id"] == name] == [
            f"{number} of {count}" for number in range(1, count + 1)
        ]
    assert all((tmp_path / row["ply"]).is_file() for row in rows)
    assert len({row["ply"] for row in rows}) == len(rows) == 7
