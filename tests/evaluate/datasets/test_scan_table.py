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
    camera_of,
    obj_of,
    placed_vertices,
    seen_landmarks,
    write_photo,
)


@pytest.fixture(autouse=True)
def no_detector(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """Whether it was asked for; it is tried with scans."""
    asked: list[None] = []
    monkeypatch.setattr(table_module, "require_detector", lambda: asked.append(None))
    return asked


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Photos and the head as mesh files of every kind."""
    for number in range(4):
        write_photo(tmp_path / f"set/photos/{number}.png", number)
    mesh = Mesh(VERTICES.astype(np.float32), FACES)
    (tmp_path / "set/head.obj").write_bytes(obj_of())
    for kind in ("ply", "glb"):
        (tmp_path / f"set/head.{kind}").write_bytes(encode_mesh(mesh, kind))  # type: ignore[arg-type]
    return tmp_path / "set"


def row_of(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "photo": f"photos/{number}.png",
        "landmarks": seen_landmarks(camera_of(15 * number)).ravel().tolist(),
        "mesh": "head.obj",
        "mesh_landmarks": LANDMARKS.ravel().tolist(),
        **changes,
    }


def rows_to_table(folder: Path, *rows: dict[str, Any], **fields: Any) -> ScanTableDataset:
    columns = {name: None for row in rows for name in row}
    table = pa.Table.from_pylist([{**columns, **row} for row in rows])
    pq.write_table(table, folder / "set.parquet")
    return ScanTableDataset(data=str(folder / "set.parquet"), **fields)


def reasons(faces: ScanTableDataset) -> dict[str, str]:
    return {fault.face_id: fault.reason for fault in faces.list_faces().faults}


@pytest.mark.parametrize("suffix", ["obj", "ply", "glb"])
def test_meshes_of_every_kind_are_placed(folder: Path, suffix: str, no_detector: list) -> None:
    faces = rows_to_table(folder, *(row_of(number, mesh=f"head.{suffix}") for number in range(3)))
    listing = faces.list_faces()
    assert listing.rows.schema.equals(TABLE_SCHEMA) and not listing.faults and not no_detector
    assert listing.note == ""
    for number, row in enumerate(listing.rows.to_pylist()):
        face = faces.read(row, 96)
        assert face.face_id == f"photos/{number}.png"
        assert face.yaw_deg == pytest.approx(15 * number, abs=2.5)
        truth = placed_vertices(camera_of(15 * number), 96)[np.unique(FACES)]
        low, high = truth[:, :2].min(axis=0), truth[:, :2].max(axis=0)
        assert face.vertices[:, :2].min(axis=0) == pytest.approx(low, abs=1e-2)
        assert face.vertices[:, :2].max(axis=0) == pytest.approx(high, abs=1e-2)


def test_names_yaws_and_regions_come_from_the_table(folder: Path) -> None:
    kept = region_mask(RegionConfig(kind="radius", radius=0.7), VERTICES, LANDMARKS)
    np.save(folder / "mask.npy", kept)
    faces = rows_to_table(
        folder,
        row_of(1, face_id="b", yaw_deg=12.5, region="mask.npy"),
        row_of(2, face_id="a", yaw_deg=None, region=None),
        region=RegionConfig(kind="radius", own_radius=95),
    )
    rows = faces.list_faces().rows.to_pylist()
    assert [row["face_id"] for row in rows] == ["a", "b"]
    first, second = (faces.read(row, 96) for row in rows)
    assert first.yaw_deg == pytest.approx(30, abs=2.5) and second.yaw_deg == 12.5
    away = np.linalg.norm(VERTICES - LANDMARKS[30], axis=1)
    assert len(first.vertices) == pytest.approx((away <= 95).sum(), rel=0.02)
    assert len(second.vertices) == pytest.approx(kept.sum(), rel=0.02)
    assert "unless a row names others" in faces.describe()["region"]


def test_photos_without_landmarks_are_said(folder: Path, no_detector: list) -> None:
    listing = rows_to_table(folder, row_of(0), row_of(1, landmarks=None)).list_faces()
    assert len(listing.rows) == 2 and "1 of the photos have no landmarks" in listing.note
    assert no_detector


def test_files_may_lie_elsewhere_by_absolute_uri_alone(folder: Path) -> None:
    write_photo(folder.parent / "away.png")
    away = str(folder.parent / "away.png")
    faces = rows_to_table(
        folder,
        row_of(0, photo=away),
        row_of(1, photo=f"file://{away}"),
        row_of(2, photo="photos/../photos/2.png"),
        row_of(3, photo="../away.png"),
        row_of(3, mesh="photos/../../head.obj"),
        row_of(3, face_id="mask", region="../mask.npy"),
    )
    rows = faces.list_faces().rows.to_pylist()
    assert len(rows) == 3
    assert all(faces.read(row, 96).image.shape == (96, 96, 3) for row in rows)
    found = reasons(faces)
    assert list(found) == ["../away.png", "photos/3.png", "mask"]
    assert all("leaves the table's folder" in reason for reason in found.values())


BAD = {
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


def test_every_row_that_cannot_be_is_counted_and_named(folder: Path) -> None:
    rows = [row_of(1, face_id=name, **changes) for name, changes in BAD.items()]
    faces = rows_to_table(folder, row_of(0, face_id="good"), *rows, row_of(2, face_id="good"))
    assert faces.list_faces().rows["face_id"].to_pylist() == ["good"]
    found = [fault.face_id for fault in faces.list_faces().faults]
    assert found == [*BAD, "good"]
    said = reasons(faces)
    assert "photo must name a file" in said["no photo"] and ".obj, .ply, .glb" in said["stl"]
    assert "136 finite numbers" in said["five points"] and "204" in said["flat marks"]
    assert "row 10: an earlier row" in said["good"]
    nameless = rows_to_table(folder, row_of(0), row_of(1, photo=None))
    assert list(reasons(nameless)) == ["row 1"]


def test_every_file_that_cannot_be_is_named(folder: Path) -> None:
    (folder / "cut.obj").write_bytes(obj_of()[:3000])
    (folder / "photos/2.png").write_bytes(b"nonsense")
    np.save(folder / "short.npy", np.ones(5, bool))
    shifted = (LANDMARKS + 400).ravel().tolist()
    cases = {
        r"missing: .*gone\.png": row_of(0, photo="gone.png"),
        r"missing: .*gone\.ply": row_of(0, mesh="gone.ply"),
        r"undecodable: .*2\.png": row_of(2),
        r"unusable-scan: .*cut\.obj": row_of(0, mesh="cut.obj"),
        r"unusable-scan: .*head\.obj.*one frame": row_of(0, mesh_landmarks=shifted),
        r"unusable-scan: .*short\.npy": row_of(0, region="short.npy"),
        r"unusable-scan: .*gone\.npy": row_of(0, region="gone.npy"),
        "degenerate: case 7": row_of(0, landmarks=[9.0] * 136),
    }
    rows = [{**row, "face_id": f"case {number}"} for number, row in enumerate(cases.values())]
    faces = rows_to_table(folder, *rows)
    listed = faces.list_faces().rows.to_pylist()
    assert len(listed) == len(cases)
    for said, row in zip(cases, listed, strict=True):
        with pytest.raises(FaceRejectedError, match=said):
            faces.read(row, 96)


def test_what_is_no_such_table_is_refused(folder: Path) -> None:
    with pytest.raises(RequestError, match="no Parquet file"):
        ScanTableDataset(data=str(folder / "none.parquet")).list_faces()
    (folder / "bad.parquet").write_bytes(b"nonsense")
    with pytest.raises(RequestError, match="no Parquet file"):
        ScanTableDataset(data=str(folder / "bad.parquet")).list_faces()
    with pytest.raises(RequestError, match="columns photo, mesh, mesh_landmarks, got 1 rows"):
        rows_to_table(folder, {"photo": "photos/0.png", "mesh": "head.obj"}).list_faces()
    with pytest.raises(RequestError, match="got 0 rows"):
        rows_to_table(folder).list_faces()
    region = RegionConfig(kind="file", file=str(folder / "none.mat"))
    with pytest.raises(RequestError, match="no such file"):
        rows_to_table(folder, row_of(0), region=region).list_faces()
