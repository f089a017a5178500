import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from rayboot.data.ground_truth import read_truth
from rayboot.errors import RequestError
from rayboot.evaluate.datasets.base import DatasetListing, ExcludedFace, GroundTruthFace
from rayboot.evaluate.datasets.synthetic import SyntheticDataset
from rayboot.evaluate.evaluation_config import MeasureConfig
from rayboot.evaluate.measure import measure_models, next_part_number
from rayboot.evaluate.measure_faces import MeasureFaces, measure_face
from rayboot.geometry.volume import unpack_occupancy
from rayboot.models import load_network
from rayboot.registry.resolve import resolve_model


def test_the_true_volume_has_a_small_error(synthetic_set: str) -> None:
    faces = SyntheticDataset(data=synthetic_set)
    listed = faces.list_faces().rows.to_pylist()
    for row, kept in zip(listed[:4], read_truth(synthetic_set).to_pylist()[:4], strict=True):
        face = faces.read(row, 96)
        volume = unpack_occupancy(kept["occupancy"], tuple(kept["shape"])).astype(np.float32)
        error = measure_face(face, volume)
        # The volume has hard edges, and its grid does not contain the vertices: about a voxel.
        assert error.nme_none < 0.03
        assert error.nme_icp <= error.nme_none + 0.005
        assert error.nme_icp <= error.nme_correspondence + 0.005
        assert error.yaw_deg == face.yaw_deg and error.reason == ""


@pytest.mark.gpu
def test_errors_on_a_gpu_are_those_on_the_processor(synthetic_set: str) -> None:
    dataset = SyntheticDataset(data=synthetic_set)
    listed = dataset.list_faces().rows.slice(0, 4)
    config = MeasureConfig(datasets={"synthetic": dataset})
    errors = []
    for device in ("cpu", "cuda"):
        network = load_network(resolve_model("builtin:compact").path, device)
        rows = MeasureFaces({"compact": network}, config, "synthetic")(listed)
        errors.append(np.array(rows["nme_icp"].to_pylist()))
    np.testing.assert_allclose(errors[1], errors[0], rtol=0.02)


def test_an_empty_prediction_has_no_error_but_a_reason() -> None:
    face = GroundTruthFace("a", np.zeros((8, 8, 3), np.uint8), np.zeros((5, 3)), 4.0, 0.0)
    error = measure_face(face, np.zeros((8, 8, 8), np.float32))
    assert np.isnan([error.nme_icp, error.nme_none, error.nme_correspondence]).all()
    assert error.reason


def test_a_missing_photo_has_a_row_with_the_reason(
    ray_local: object, synthetic_set: str, tmp_path: Path
) -> None:
    damaged = tmp_path / "set"
    shutil.copytree(synthetic_set, damaged)
    (damaged / "Synthetic-3D/000003.jpg").unlink()
    (damaged / "Synthetic-3D/000005.jpg").write_bytes(b"no photo")
    config = MeasureConfig(
        datasets={"synthetic": SyntheticDataset(data=str(damaged))}, num_actors=1, batch_size=8
    )
    weights = {"a": resolve_model("builtin:compact").path}
    measurements = measure_models(weights, config, tmp_path / "rows", {"a": "0"})
    reasons = {e.face_id: e.reason for e in measurements.results.errors()["a"] if e.reason}
    assert set(reasons) == {"Synthetic-3D/000003.jpg", "Synthetic-3D/000005.jpg"}
    assert "does not exist" in reasons["Synthetic-3D/000003.jpg"]
    assert "undecodable" in reasons["Synthetic-3D/000005.jpg"]
    assert len(measurements.results.rows) == 24


def test_results_are_in_the_order_of_the_faces(synthetic_set: str) -> None:
    listed = SyntheticDataset(data=synthetic_set).list_faces().rows
    assert listed["face_id"].to_pylist() == sorted(listed["face_id"].to_pylist())
    assert isinstance(listed, pa.Table)


@pytest.mark.parametrize("size", [48, 192])
def test_a_dataset_serves_networks_of_another_input_size(synthetic_set: str, size: int) -> None:
    faces = SyntheticDataset(data=synthetic_set)
    row = faces.list_faces().rows.to_pylist()[0]
    stored, other = faces.read(row, 96), faces.read(row, size)
    scale = size / 96
    assert other.image.shape == (size, size, 3)
    assert np.allclose(other.vertices, scale * stored.vertices)
    assert other.interocular == pytest.approx(scale * stored.interocular)
    # Both crops show the same content at the same relative position.
    small, large = sorted((stored.image, other.image), key=len)
    step = len(large) // len(small)
    blocks = large.reshape(len(small), step, len(small), step, 3).mean(axis=(1, 3))
    assert np.abs(blocks - small).mean() < 6


def test_a_folder_of_another_evaluation_is_refused(synthetic_set: str, tmp_path: Path) -> None:
    config = MeasureConfig(datasets={"synthetic": SyntheticDataset(data=synthetic_set)})
    stored = {"datasets": {}, "protocol": config.protocol.model_dump(mode="json"), "models": {}}
    (tmp_path / "stamp.json").write_text(json.dumps(stored))
    with pytest.raises(RequestError, match=r"begun with another datasets \(\{\}, this run has"):
        measure_models({}, config, tmp_path, {"a": "0"})


def test_a_dataset_without_a_measurable_face_gives_the_most_frequent_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def list_no_face(dataset: SyntheticDataset) -> DatasetListing:
        rows = pa.table({"face_id": pa.array([], pa.string())})
        reasons = {"a": "no scan", "b": "no video", "c": "no video"}
        return DatasetListing(rows, [ExcludedFace(*item) for item in reasons.items()])

    monkeypatch.setattr(SyntheticDataset, "list_faces", list_no_face)
    config = MeasureConfig(datasets={"empty": SyntheticDataset(data="-")})
    with pytest.raises(
        RequestError, match=r"all 3 are excluded.* of 2 \(b, for example\): no video"
    ):
        measure_models({}, config, tmp_path, {})


def test_files_of_rows_are_not_overwritten_where_one_was_removed(tmp_path: Path) -> None:
    assert next_part_number(tmp_path / "new") == 0
    (tmp_path / "part-000001.parquet").touch()
    assert next_part_number(tmp_path) == 2
