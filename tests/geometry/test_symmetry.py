import numpy as np
import pytest

from rayboot.geometry.alignment import Similarity
from rayboot.geometry.camera import rotation_yaw_pitch
from rayboot.geometry.symmetry import refine_symmetry
from tests.geometry.test_pose_regressor import mean_front


def angle_deg(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.degrees(np.arccos(np.clip(first @ second, -1, 1))))


@pytest.mark.parametrize("off_deg", [-5, 2, 6])
def test_a_frame_that_is_off_is_turned_back(off_deg: float) -> None:
    points, truth = mean_front(), rotation_yaw_pitch(0.3, 0.1)
    start = truth @ rotation_yaw_pitch(np.radians(off_deg), 0.05)
    frame, asymmetry = refine_symmetry(points @ truth.T, Similarity(40.0, start, np.zeros(3)))
    assert angle_deg(frame.rotation[:, 0], truth[:, 0]) < 0.3
    assert asymmetry < 0.01
    # The pitch is not the plane's to tell.
    pitch = np.degrees(np.arcsin((truth.T @ frame.rotation[:, 2])[1]))
    assert pitch == pytest.approx(np.degrees(0.05), abs=0.5)


def test_the_origin_is_moved_onto_the_plane() -> None:
    points = mean_front() + np.array([1.5, 0.0, 0.0])
    frame, _ = refine_symmetry(points, Similarity(40.0, np.eye(3), np.zeros(3)))
    assert frame.translation[0] == pytest.approx(1.5, abs=0.1)


def test_a_lopsided_front_has_a_large_asymmetry() -> None:
    points = mean_front()
    swollen = points + np.column_stack([np.zeros((len(points), 2)), 0.4 * np.abs(points[:, 0])])
    lopsided = np.where(points[:, :1] > 0, swollen, points)
    start = Similarity(40.0, np.eye(3), np.zeros(3))
    _, even = refine_symmetry(swollen, start)
    _, uneven = refine_symmetry(lopsided, start)
    assert uneven > 3 * even


def test_without_counterparts_the_frame_is_left_alone() -> None:
    points = mean_front()
    start = Similarity(40.0, np.eye(3), np.zeros(3))
    frame, asymmetry = refine_symmetry(points[points[:, 0] > 12], start)
    assert frame is start
    assert asymmetry == np.inf
