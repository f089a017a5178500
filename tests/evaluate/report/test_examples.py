from pathlib import Path

import numpy as np
import pytest

from rayboot.evaluate.datasets.synthetic import SyntheticDataset
from rayboot.evaluate.measure_faces import measure_face
from rayboot.evaluate.protocol import Protocol
from rayboot.evaluate.report import examples as module
from rayboot.evaluate.report.examples import make_examples, pick_by_yaw, read_dataset_faces
from rayboot.evaluate.results import FaceError
from rayboot.models import load_network
from rayboot.models.network_config import InferenceConfig
from rayboot.models.predictor import Predictor
from rayboot.registry.resolve import resolve_model


def errors_of(faces: SyntheticDataset) -> list[FaceError]:
    rows = faces.list_faces().rows.to_pylist()
    return [FaceError(row["face_id"], row["yaw_deg"], 0.1, 0.1) for row in rows]


def test_picked_faces_are_spread_from_frontal_to_profile(synthetic_set: str) -> None:
    faces = SyntheticDataset(data=synthetic_set)
    chosen = pick_by_yaw(errors_of(faces), 5)
    found = read_dataset_faces(faces, chosen, 96)
    assert [face.face_id for face in found] == chosen
    yaws = [abs(face.yaw_deg) for face in found]
    assert yaws == sorted(yaws)
    assert yaws[0] < 12 and yaws[-1] > 60


def test_faces_without_an_error_are_not_picked() -> None:
    nan = float("nan")
    errors = [FaceError("a", 3.0, 0.1, 0.1), FaceError("b", nan, 0.1, 0.1)]
    errors.append(FaceError("c", 70.0, nan, nan, nan, "no photo"))
    assert pick_by_yaw(errors, 3) == ["a"]
    assert pick_by_yaw(errors[2:], 3) == []


def test_faces_of_unknown_yaw_are_picked_by_name() -> None:
    errors = [FaceError(name, float("nan"), 0.1, 0.1) for name in "edcba"]
    assert pick_by_yaw(errors, 3) == ["a", "c", "e"]


def test_a_missing_photo_is_left_out_with_a_warning(
    synthetic_set: str, caplog: pytest.LogCaptureFixture
) -> None:
    faces = SyntheticDataset(data=synthetic_set)
    listed = faces.list_faces().rows
    first = listed["face_id"][0].as_py()
    renamed = listed.set_column(0, "face_id", [["gone.jpg", *listed["face_id"].to_pylist()[1:]]])
    assert [face.face_id for face in read_dataset_faces(faces, [first], 96)] == [first]
    assert read_dataset_faces(faces, ["gone.jpg"], 96, renamed) == []
    assert "gone.jpg is left out of the figures" in caplog.text


@pytest.fixture(scope="module")
def weights() -> dict[str, Path]:
    return {"compact": resolve_model("builtin:compact", None).path}


def test_distances_agree_with_the_measured_error(
    synthetic_set: str, weights: dict[str, Path]
) -> None:
    faces = SyntheticDataset(data=synthetic_set)
    chosen = pick_by_yaw(errors_of(faces), 2)
    found = make_examples(weights, faces, errors_of(faces), chosen, Protocol())
    assert [example.face_id for example in found] == chosen
    predictor = Predictor(load_network(weights["compact"]), InferenceConfig(), batch_size=1)
    for example, face in zip(found, read_dataset_faces(faces, chosen, 96), strict=True):
        evaluated = example.evaluated["compact"]
        volume = predictor.predict(face.image[None])[0]
        assert evaluated.distances.mean() == pytest.approx(
            measure_face(face, volume).nme_icp, rel=1e-6
        )
        assert evaluated.distances.shape == (len(face.vertices),)
        assert evaluated.crop_size == 96
        assert len(evaluated.coarse_mesh.vertices) < len(evaluated.mesh.vertices)
        # ICP's motion carries the truth to where it is comparison.
        near = np.linalg.norm(
            evaluated.prediction_from_truth.apply(face.vertices)[:, None, :2]
            - evaluated.mesh.vertices[None, ::7, :2],
            axis=-1,
        ).min(axis=1)
        assert np.median(near) < 2


def test_a_model_that_reconstructs_nothing_is_missing(
    synthetic_set: str, weights: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    faces = SyntheticDataset(data=synthetic_set)
    chosen = pick_by_yaw(errors_of(faces), 1)

    class Empty(Predictor):
        def predict(self, images: np.ndarray) -> np.ndarray:
            return np.zeros((len(images), 96, 96, 96), np.float32)

    monkeypatch.setattr(module, "Predictor", Empty)
    (example,) = make_examples(weights, faces, errors_of(faces), chosen, Protocol())
    assert example.evaluated == {}
