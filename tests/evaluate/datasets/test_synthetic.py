import shutil
from pathlib import Path

import pytest

from rayboot.errors import FaceRejectedError, RequestError
from rayboot.evaluate.datasets.synthetic import SyntheticDataset


def test_missing_and_damaged_photos_are_named(synthetic_set: str, tmp_path: Path) -> None:
    shutil.copytree(synthetic_set, tmp_path / "set")
    faces = SyntheticDataset(data=str(tmp_path / "set"))
    rows = faces.list_faces().rows.to_pylist()
    assert len(rows) == 24
    (tmp_path / "set" / rows[0]["face_id"]).unlink()
    (tmp_path / "set" / rows[1]["face_id"]).write_bytes(b"nonsense")
    with pytest.raises(FaceRejectedError, match=rows[0]["face_id"]):
        faces.read(rows[0], 96)
    with pytest.raises(FaceRejectedError, match="undecodable"):
        faces.read(rows[1], 96)
    assert faces.read(rows[2], 96).face_id == rows[2]["face_id"]


def test_another_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="synthesize"):
        SyntheticDataset(data=str(tmp_path)).list_faces()
