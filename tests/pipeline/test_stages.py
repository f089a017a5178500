"""The stages one after the other, without a cluster."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from rayboot.data.images import decode_photo
from rayboot.data.schema import PAIRS_SCHEMA
from rayboot.data.truth import truth_table
from rayboot.geometry.volume import transform_volume, unpack_occupancy
from rayboot.pipeline.config import GenerateConfig, SelectionConfig
from rayboot.pipeline.listing import list_inputs, mark_duplicates
from rayboot.pipeline.read import ReadPhotos
from rayboot.pipeline.reconstruct import ReconstructFaces
from rayboot.pipeline.rows import soft_volume
from rayboot.pipeline.turn import TurnFaces
from rayboot.registry.models import resolve_weights
from tests.pipeline.photos import BAD, mixed_folder

pytestmark = pytest.mark.egl

CONFIG = GenerateConfig(selection=SelectionConfig(detect_faces=False))
SHAPE = (96, 96, 96)


@pytest.fixture(scope="module")
def listing(tmp_path_factory: pytest.TempPathFactory, synthetic_set: str) -> pa.Table:
    folder = mixed_folder(tmp_path_factory.mktemp("stages") / "photos", synthetic_set)
    return mark_duplicates(list_inputs(str(folder)))


@pytest.fixture(scope="module")
def cropped(listing: pa.Table) -> pa.Table:
    return ReadPhotos(96, CONFIG.selection, detect_faces=False)(listing)


@pytest.fixture(scope="module")
def reconstructed(cropped: pa.Table) -> pa.Table:
    weights = str(resolve_weights("builtin:compact"))
    return ReconstructFaces(weights, CONFIG.inference, batch_size=8, use_gpu=False)(cropped)


@pytest.fixture(scope="module")
def finished(reconstructed: pa.Table) -> pa.Table:
    counted: list[int] = []
    turned = TurnFaces(CONFIG, SHAPE, "model", "config", on_rows=counted.append)(reconstructed)
    assert counted == [len(reconstructed)]
    return turned


def test_every_photo_stays_in_one_row(listing: pa.Table, finished: pa.Table) -> None:
    assert finished.schema.equals(PAIRS_SCHEMA)
    assert finished["face_id"].to_pylist() == listing["face_id"].to_pylist()
    assert set(finished["outcome"].to_pylist()) == {"face", "reject"}


def test_bad_photos_carry_stage_and_reason(finished: pa.Table) -> None:
    rows = {row["face_id"]: row for row in finished.to_pylist()}
    for name, (stage, reason) in BAD.items():
        assert rows[name]["outcome"] == "reject", name
        assert rows[name]["stage"] == stage, name
        assert rows[name]["message"], name
        if reason is not None:
            assert rows[name]["reason"] == reason
    assert "000000" in rows["again.jpg"]["message"]


def test_profiles_are_rejected_and_frontal_faces_kept(
    finished: pa.Table, synthetic_set: str
) -> None:
    yaws = {
        row["face_id"].split("/")[-1]: row["yaw_deg"]
        for row in truth_table(synthetic_set).to_pylist()
    }
    kept = 0
    for row in finished.to_pylist():
        if row["face_id"] not in yaws:
            continue
        yaw = abs(yaws[row["face_id"]])
        if yaw > 40:
            assert (row["outcome"], row["reason"]) == ("reject", "not-frontal"), row["face_id"]
        elif yaw < 5:
            kept += row["outcome"] == "face"
    assert kept >= 2


def test_a_face_row_is_whole(finished: pa.Table) -> None:
    for row in finished.to_pylist():
        if row["outcome"] != "face":
            continue
        assert tuple(row["shape"]) == SHAPE
        assert decode_photo(row["image"]).shape == (96, 96, 3)
        axes = np.array([row["symmetry_normal"], row["up"], row["gaze"]])
        assert np.allclose(axes @ axes.T, np.eye(3), atol=1e-5)
        assert row["split"] in ("train", "val")
        assert row["views"]
        for view in row["views"]:
            assert abs(view["yaw_deg"]) in (20, 40, 60)
            assert 0 <= view["clipped"] <= CONFIG.max_clipped
            assert decode_photo(view["image"]).shape == (96, 96, 3)
            transform = np.reshape(view["transform"], (3, 4))
            scale = np.linalg.det(transform[:, :3]) ** (1 / 3)
            assert 0.7 < scale < 1.3
            turned = transform[:, :3] / scale @ row["gaze"]
            assert np.allclose(turned, view["view_gaze"], atol=1e-4)
            # Away from the camera, never back.
            assert turned[2] < row["gaze"][2] + 1e-6


def test_the_target_covers_what_the_view_shows(finished: pa.Table) -> None:
    """Where the turned volume projects to, the picture differs from its own backplane."""
    row = next(r for r in finished.to_pylist() if r["outcome"] == "face")
    volume = unpack_occupancy(row["occupancy"], SHAPE)
    for view in row["views"]:
        target = transform_volume(volume, np.reshape(view["transform"], (3, 4)))
        rows, columns = np.nonzero(target.any(axis=0))
        # Cropped again: the turned face sits in the middle as any photo's would.
        assert abs(rows.mean() - 47.5) < 12
        assert abs(columns.mean() - 47.5) < 14
        depth = np.flatnonzero(target.any(axis=(1, 2)))
        assert depth[-1] < SHAPE[0] - 1, "the face itself is cut off"


def test_soft_volumes_survive_the_way_between_stages(reconstructed: pa.Table) -> None:
    row = next(r for r in reconstructed.to_pylist() if not r["reason"])
    volume = soft_volume(row, SHAPE)
    assert volume.shape == SHAPE
    soft = (volume > 0.05) & (volume < 0.95)
    assert soft.sum() > 1000


def test_photos_without_landmarks_say_so(tmp_path: Path, synthetic_set: str) -> None:
    folder = mixed_folder(tmp_path / "photos", synthetic_set, num_good=1)
    (folder / "000000.t7").unlink()
    table = ReadPhotos(96, CONFIG.selection, detect_faces=False)(
        mark_duplicates(list_inputs(str(folder)))
    )
    row = next(r for r in table.to_pylist() if r["face_id"] == "000000.jpg")
    assert (row["stage"], row["reason"]) == ("landmarks", "no-landmarks")


def test_an_empty_volume_is_a_reject() -> None:
    from rayboot.pipeline.reconstruct import _boxed

    assert _boxed(np.zeros(SHAPE, np.float32))["reason"] == "empty-volume"
