import numpy as np
import pytest

from rayboot.errors import DegenerateInputError, ShapeError
from rayboot.geometry.alignment import Similarity, fit_similarity
from rayboot.geometry.camera import rotation_yaw_pitch

MOTION = Similarity(1.7, rotation_yaw_pitch(0.4, -0.2), np.array([3.0, -1.0, 2.0]))


def test_a_known_similarity_is_recovered():
    points = np.random.default_rng(0).normal(size=(30, 3))
    fitted = fit_similarity(points, MOTION.apply(points))
    assert fitted.scale == pytest.approx(1.7)
    assert fitted.rotation == pytest.approx(MOTION.rotation)
    assert fitted.translation == pytest.approx(MOTION.translation)
    assert fitted.matrix()[:, :3] == pytest.approx(1.7 * MOTION.rotation)


def test_mirrored_points_are_not_fitted_by_a_reflection():
    points = np.random.default_rng(0).normal(size=(30, 3))
    fitted = fit_similarity(points, points * (-1, 1, 1), scale=False)
    assert np.linalg.det(fitted.rotation) == pytest.approx(1)
    assert fitted.scale == 1


def test_collinear_points_and_unequal_shapes_are_refused():
    line = np.outer(np.arange(5.0), [1, 2, 3])
    with pytest.raises(DegenerateInputError, match="line"):
        fit_similarity(line, line)
    with pytest.raises(ShapeError):
        fit_similarity(line, line[:4])
