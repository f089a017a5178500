import numpy as np
import pytest

from rayboot.errors import ShapeError
from rayboot.evaluate.nme import nme, surface_distances
from rayboot.geometry.camera import rotation_yaw_pitch


def face_like(seed: int = 0) -> np.ndarray:
    """A dense bumpy cap: no motion but the identity carries it onto itself."""
    y, x = np.mgrid[-30:30:0.5, -25:25:0.5].reshape(2, -1)
    z = 20 - 0.01 * (x**2 + 0.8 * y**2) + 9 * np.exp(-((x - 2) ** 2 + (y + 3) ** 2) / 40)
    return np.column_stack([x, y, z + 2 * np.sin(x / 6) * np.cos(y / 9)])


def test_the_shape_itself_has_no_error() -> None:
    shape = face_like()
    for align in ("icp", "correspondence", "none"):
        assert nme(shape, shape, 40.0, align) < 1e-3


def test_a_known_offset_is_the_error_without_alignment_and_none_with_icp() -> None:
    shape = face_like()
    moved = shape + [0.0, 0.0, 3.0]
    assert nme(moved, shape, 40.0, "none") > 0.05
    assert nme(moved, shape, 40.0, "icp") < 0.005
    assert nme(moved, shape, 40.0, "correspondence") > 0.05


def test_icp_takes_a_small_turn_out() -> None:
    shape = face_like()
    moved = shape @ rotation_yaw_pitch(0.1, 0.05).T + [1.0, -2.0, 4.0]
    assert nme(moved, shape, 40.0) < 0.01


def test_icp_leaves_scale_in() -> None:
    shape = face_like()
    assert nme(1.2 * shape, shape, 40.0) > 0.01


def test_error_is_a_share_of_the_interocular_distance() -> None:
    truth = face_like()
    rng = np.random.default_rng(0)
    predicted = truth + rng.normal(0, 1, truth.shape)
    assert nme(predicted, truth, 20.0) == pytest.approx(2 * nme(predicted, truth, 40.0))


def test_distances_are_of_every_true_point() -> None:
    truth = face_like()
    distances = surface_distances(truth[::2], truth, "none")
    assert distances.shape == (len(truth),)
    assert np.allclose(distances[::2], 0)


def test_input_is_checked() -> None:
    shape = face_like()
    with pytest.raises(ShapeError, match="interocular"):
        nme(shape, shape, 0.0)
    with pytest.raises(ShapeError, match="truth"):
        nme(shape, shape[:, :2], 40.0)
