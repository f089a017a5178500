from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rayboot.data.mesh_files import encode_mesh
from rayboot.errors import FaceRejectedError, RequestError
from rayboot.evaluate.datasets import scan_table as table_module
from rayboot.evaluate.datasets.region import RegionConfig, region_mask
from rayboot.evaluate.datasets.scan_table import TABLE_SCHEMA, ScanTableDataset
from rayboot.geometry.mesh import Mesh
from tests.evaluate.datasets.synthetic_scans import (
    FACES,
    LANDMARKS,
    VERTICES,
    crop_vertices,
    encode_obj,
    make_camera,
    photo_landmarks,
    write_photo,
)


@pytest.fixture(autouse=True)
def detector_requests(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """Records requests of the face detector, which the tests of scans use."""
    requests: list[None] = []
    monkeypatch.setattr(table_module, "require_detector", lambda: requests.append(None))
    return requests


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Photos and the head as mesh files of every kind."""
    for number in range(4):
        write_photo(tmp_path / f"set/photos/{number}.png", number)
    mesh = Mesh(VERTICES.astype(np.float32), FACES)
    (tmp_path / "set/head.obj").write_bytes(encode_obj())
    for kind in ("ply", "glb"):
        (tmp_path / f"set/head.{kind}").write_bytes(encode_mesh(mesh, kind))  # type: ignore[arg-type]  # a literal
    return tmp_path / "set"


def make_row(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "photo": f"photos/{number}.png",
        "landmarks": photo_landmarks(make_camera(15 * number)).ravel().tolist(),
        "mesh": "head.obj",
        "mesh_landmarks": LANDMARKS.ravel().tolist(),
        **changes,
    }


def make_dataset(folder: Path, *rows: dict[str, Any], **fields: Any) -> ScanTableDataset:
    columns = {name: None for row in rows for name in row}
    table = pa.Table.from_pylist([{**columns, **row} for row in rows])
    pq.write_table(table, folder / "set.parquet")
    return ScanTableDataset(data=str(folder / "set.parquet"), **fields)


def reasons(faces: ScanTableDataset) -> dict[str, str]:
    return {face.face_id: face.reason for face in faces.list_faces().excluded}


@pytest.mark.parametrize("suffix", ["obj", "ply", "glb"])
def test_meshes_of_every_format_are_aligned(
    folder: Path, suffix: str, detector_requests: list[None]
) -> None:
    faces = make_dataset(folder, *(make_row(number, mesh=f"head.{suffix}") for number in range(3)))
    listing = faces.list_faces()
    assert (
        listing.rows.schema.equals(TABLE_SCHEMA) and not listing.excluded and not detector_requests
    )
    assert listing.note == ""
    for number, row in enumerate(listing.rows.to_pylist()):
        face = faces.read(row, 96)
        assert face.face_id == f"photos/{number}.png"
        assert face.yaw_deg == pytest.approx(15 * number, abs=2.5)
        truth = crop_vertices(make_camera(15 * number), 96)[np.unique(FACES)]
        low, high = truth[:, :2].min(axis=0), truth[:, :2].max(axis=0)
        assert face.vertices[:, :2].min(axis=0) == pytest.approx(low, abs=1e-2)
        assert face.vertices[:, :2].max(axis=0) == pytest.approx(high, abs=1e-2)


def test_names_yaws_and_regions_come_from_the_table(folder: Path) -> None:
    kept = region_mask(RegionConfig(kind="radius", radius=0.7), VERTICES, LANDMARKS)
    np.save(folder / "mask.npy", kept)
    faces = make_dataset(
        folder,
        make_row(1, face_id="b", yaw_deg=12.5, region="mask.npy"),
        make_row(2, face_id="a", yaw_deg=None, region=None),
        region=RegionConfig(kind="radius", own_radius=95),
    )
    rows = faces.list_faces().rows.to_pylist()
    assert [row["face_id"] for row in rows] == ["a", "b"]
    first, second = (faces.read(row, 96) for row in rows)
    assert first.yaw_deg == pytest.approx(30, abs=2.5) and second.yaw_deg == 12.5
    distance = np.linalg.norm(VERTICES - LANDMARKS[30], axis=1)
    assert len(first.vertices) == pytest.approx((distance <= 95).sum(), rel=0.02)
    assert len(second.vertices) == pytest.approx(kept.sum(), rel=0.02)
    assert "unless a row names others" in faces.describe()["region"]


def test_photos_without_landmarks_are_counted_in_the_note(
    folder: Path, detector_requests: list[None]
) -> None:
    listing = make_dataset(folder, make_row(0), make_row(1, landmarks=None)).list_faces()
    assert len(listing.rows) == 2 and "1 of the photos have no landmarks" in listing.note
    assert detector_requests


def test_files_outside_the_folder_require_absolute_uris(folder: Path) -> None:
    write_photo(folder.parent / "outside.png")
    outside = str(folder.parent / "outside.png")
    faces = make_dataset(
        folder,
        make_row(0, photo=outside),
        make_row(1, photo=f"file://{outside}"),
        make_row(2, photo="photos/../photos/2.png"),
        make_row(3, photo="../outside.png"),
        make_row(3, mesh="photos/../../head.obj"),
        make_row(3, face_id="mask", region="../mask.npy"),
    )
    rows = faces.list_faces().rows.to_pylist()
    assert len(rows) == 3
    assert all(faces.read(row, 96).image.shape == (96, 96, 3) for row in rows)
    excluded = reasons(faces)
    assert list(excluded) == ["../outside.png", "photos/3.png", "mask"]
    assert all("leaves the table's folder" in reason for reason in excluded.values())


INVALID = {
    "no photo": {"photo": None},
    "no mesh": {"mesh": None},
    "empty": {"mesh": ""},
    "stl": {"mesh": "head.stl"},
    "five points": {"landmarks": [1.0] * 10},
    "nan": {"landmarks": [float("nan")] * 136},
    "no marks": {"mesh_landmarks": None},
    "flat marks": {"mesh_landmarks": [1.0] * 136},
    "yaw": {"yaw_deg": float("inf")},
}


def test_invalid_rows_are_listed_with_their_problem(folder: Path) -> None:
    rows = [make_row(1, face_id=name, **changes) for name, changes in INVALID.items()]
    faces = make_dataset(folder, make_row(0, face_id="good"), *rows, make_row(2, face_id="good"))
    assert faces.list_faces().rows["face_id"].to_pylist() == ["good"]
    excluded = [face.face_id for face in faces.list_faces().excluded]
    assert excluded == [*INVALID, "good"]
    messages = reasons(faces)
    assert (
        "photo must name a file" in messages["no photo"] and ".obj, .ply, .glb" in messages["stl"]
    )
    assert "136 finite numbers" in messages["five points"] and "204" in messages["flat marks"]
    assert "row 10: an earlier row" in messages["good"]
    nameless = make_dataset(folder, make_row(0), make_row(1, photo=None))
    assert list(reasons(nameless)) == ["row 1"]


def test_missing_and_damaged_files_are_named(folder: Path) -> None:
    (folder / "cut.obj").write_bytes(encode_obj()[:3000])
    (folder / "photos/2.png").write_bytes(b"nonsense")
    np.save(folder / "short.npy", np.ones(5, bool))
    shifted = (LANDMARKS + 400).ravel().tolist()
    cases = {
        r"missing: .*gone\.png": make_row(0, photo="gone.png"),
        r"missing: .*gone\.ply": make_row(0, mesh="gone.ply"),
        r"undecodable: .*2\.png": make_row(2),
        r"unusable-scan: .*cut\.obj": make_row(0, mesh="cut.obj"),
        r"unusable-scan: .*head\.obj.*one frame": make_row(0, mesh_landmarks=shifted),
        r"unusable-scan: .*short\.npy": make_row(0, region="short.npy"),
        r"unusable-scan: .*gone\.npy": make_row(0, region="gone.npy"),
        "degenerate: case 7": make_row(0, landmarks=[9.0] * 136),
    }
    rows = [{**row, "face_id": f"case {number}"} for number, row in enumerate(cases.values())]
    faces = make_dataset(folder, *rows)
    listed = faces.list_faces().rows.to_pylist()
    assert len(listed) == len(cases)
    for message, row in zip(cases, listed, strict=True):
        with pytest.raises(FaceRejectedError, match=message):
            faces.read(row, 96)


def test_other_files_and_tables_are_refused(folder: Path) -> None:
    with pytest.raises(RequestError, match="expected a Parquet file"):
        ScanTableDataset(data=str(folder / "none.parquet")).list_faces()
    (folder / "bad.parquet").write_bytes(b"nonsense")
    with pytest.raises(RequestError, match="expected a Parquet file"):
        ScanTableDataset(data=str(folder / "bad.parquet")).list_faces()
    with pytest.raises(RequestError, match="columns photo, mesh, mesh_landmarks, got 1 rows"):
        make_dataset(folder, {"photo": "photos/0.png", "mesh": "head.obj"}).list_faces()
    with pytest.raises(RequestError, match="got 0 rows"):
        make_dataset(folder).list_faces()
    region = RegionConfig(kind="file", file=str(folder / "none.mat"))
    with pytest.raises(RequestError, match="no such file"):
        make_dataset(folder, make_row(0), region=region).list_faces()
