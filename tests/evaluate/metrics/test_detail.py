import numpy as np
import pytest

from rayboot.evaluate.metrics.detail import find_nose, measure_details
from rayboot.evaluate.metrics.nme import Comparison
from rayboot.evaluate.protocol import Protocol
from rayboot.geometry.head_model import load_head_model
from rayboot.geometry.mesh import Mesh

MODEL = load_head_model()
TRUTH = Mesh(MODEL.mean[MODEL.front].astype(np.float64), MODEL.front_faces)
LANDMARKS = MODEL.mean[MODEL.landmarks].astype(np.float64)
NOSE = find_nose(TRUTH.vertices, LANDMARKS)


def details(predicted: Mesh, truth: Mesh | np.ndarray = TRUTH):
    comparison = Comparison(predicted, truth, 1.0, Protocol())
    return measure_details(comparison, predicted, truth, 1.0, NOSE)


def blunt(strength: float) -> Mesh:
    """The face with its nose pressed in."""
    vertices = TRUTH.vertices.copy()
    vertices[NOSE, 2] -= strength
    return Mesh(vertices, TRUTH.faces)


def test_the_nose_is_about_its_landmarks() -> None:
    x, y, _ = TRUTH.vertices[NOSE].T
    assert 30 < len(NOSE) < 0.35 * len(TRUTH.vertices)
    assert np.abs(x).max() < 0.5 and -0.8 < y.min() < y.max() < 0.35


def test_an_equal_shape_has_no_errors() -> None:
    errors = details(TRUTH)
    assert errors.normal_deg < 0.1 and errors.nme_nose < 1e-3
    assert np.isnan(errors.nme_inner)


def test_a_blunt_nose_counts_more_at_the_nose_than_in_the_mean() -> None:
    predicted = blunt(0.1)
    whole = Comparison(predicted, TRUTH, 1.0, Protocol()).nme()
    errors = details(predicted)
    assert errors.nme_nose > 2 * whole
    assert errors.normal_deg > 1


def test_noise_tilts_normals() -> None:
    rng = np.random.default_rng(0)
    rough = Mesh(TRUTH.vertices + rng.normal(0, 0.01, TRUTH.vertices.shape), TRUTH.faces)
    assert details(rough).normal_deg > 5


def test_landmarks_are_measured_to_the_front_alone() -> None:
    # A wall through the landmarks that faces backward.
    wall = Mesh(TRUTH.vertices + np.array([0, 0, 0.3]), TRUTH.faces[:, ::-1])
    both = Mesh(
        np.concatenate([TRUTH.vertices, wall.vertices]),
        np.concatenate([TRUTH.faces, wall.faces + len(TRUTH.vertices)]),
    )
    moved = LANDMARKS + np.array([0, 0, 0.3])
    comparison = Comparison(both, moved, 1.0, Protocol())
    comparison._prediction_from_truth = Comparison(TRUTH, LANDMARKS, 1.0).prediction_from_truth
    assert comparison.nme() < 0.05
    assert measure_details(comparison, both, moved, 1.0).nme_inner == pytest.approx(0.3, abs=0.06)


def test_other_points_have_no_details() -> None:
    points = TRUTH.vertices[:100]
    assert np.isnan(details(TRUTH, points)).all()
