from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from rayboot.data.ground_truth import read_truth
from rayboot.evaluate.datasets.base import GroundTruthFace
from rayboot.evaluate.datasets.synthetic import SyntheticDataset
from rayboot.evaluate.evaluation_config import MeasureConfig
from rayboot.evaluate.measure import measure_face, measure_models
from rayboot.geometry.volume import unpack_occupancy
from rayboot.registry.resolve import resolve_model


def test_the_true_volume_measures_small(synthetic_set: str) -> None:
    faces = SyntheticDataset(data=synthetic_set)
    listed = faces.list_faces().rows.to_pylist()
    for row, kept in zip(listed[:4], read_truth(synthetic_set).to_pylist()[:4], strict=True):
        face = faces.read(row, 96)
        volume = unpack_occupancy(kept["occupancy"], tuple(kept["shape"])).astype(np.float32)
        error = measure_face(face, volume)
        # A hard-edged volume, and vertices not on its grid: about a voxel.
        assert error.nme_none < 0.03
        assert error.nme_icp <= error.nme_none + 0.005
        assert error.nme_icp <= error.nme_correspondence + 0.005
        assert error.yaw_deg == face.yaw_deg and error.reason == ""


def test_an_empty_prediction_is_no_number_and_says_why() -> None:
    face = GroundTruthFace("a", np.zeros((8, 8, 3), np.uint8), np.zeros((5, 3)), 4.0, 0.0)
    error = measure_face(face, np.zeros((8, 8, 8), np.float32))
    assert np.isnan([error.nme_icp, error.nme_none, error.nme_correspondence]).all()
    assert error.reason


def test_a_photo_that_went_missing_has_a_row_that_says_so(
    ray_local: object, synthetic_set: str, tmp_path: Path
) -> None:
    import shutil

    damaged = tmp_path / "set"
    shutil.copytree(synthetic_set, damaged)
    (damaged / "Synthetic-3D/000003.jpg").unlink()
    (damaged / "Synthetic-3D/000005.jpg").write_bytes(b"no photo")
    config = MeasureConfig(
        datasets={"made": SyntheticDataset(data=str(damaged))}, num_actors=1, batch_size=8
    )
    weights = {"a": resolve_model("builtin:compact").path}
    measured = measure_models(weights, config, tmp_path / "rows", {"a": "0"})
    reasons = {e.face_id: e.reason for e in measured.results.errors()["a"] if e.reason}
    assert set(reasons) == {"Synthetic-3D/000003.jpg", "Synthetic-3D/000005.jpg"}
    assert "is not there" in reasons["Synthetic-3D/000003.jpg"]
    assert "undecodable" in reasons["Synthetic-3D/000005.jpg"]
    assert len(measured.results.rows) == 24


def test_results_are_in_the_order_of_the_faces(synthetic_set: str) -> None:
    listed = SyntheticDataset(data=synthetic_set).list_faces().rows
    assert listed["face_id"].to_pylist() == sorted(listed["face_id"].to_pylist())
    assert isinstance(listed, pa.Table)


@pytest.mark.parametrize("size", [48, 192])
def test_a_set_serves_networks_of_another_size(synthetic_set: str, size: int) -> None:
    faces = SyntheticDataset(data=synthetic_set)
    row = faces.list_faces().rows.to_pylist()[0]
    own, other = faces.read(row, 96), faces.read(row, size)
    scale = size / 96
    assert other.image.shape == (size, size, 3)
    assert np.allclose(other.vertices, scale * own.vertices)
    assert other.interocular == pytest.approx(scale * own.interocular)
    # The same things stand at the same places of both crops.
    small, large = sorted((own.image, other.image), key=len)
    step = len(large) // len(small)
    blocks = large.reshape(len(small), step, len(small), step, 3).mean(axis=(1, 3))
    assert np.abs(blocks - small).mean() < 6
