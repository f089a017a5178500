import os
import subprocess
import sys

import numpy as np
import pytest

from rayboot.geometry.alignment import Similarity
from rayboot.geometry.camera import rotation_yaw_pitch
from rayboot.geometry.head_model import load_head_model
from rayboot.geometry.pose_regressor import GRID_SIZE, Z_MIDDLE, depth_map, regress_pose

UPRIGHT = Similarity(1.0, np.eye(3), np.zeros(3))


def mean_front() -> np.ndarray:
    """Points (P, 3) all over the front of the mean head, its outer eye corners 40 apart."""
    model = load_head_model()
    corners = model.mean[model.faces].astype(float)
    facing = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])[:, 2] > 0
    weights = np.random.default_rng(0).dirichlet(np.ones(3), (3, int(facing.sum())))
    points = np.einsum("kfc,fcd->kfd", weights, corners[facing]).reshape(-1, 3)
    return 40 * points[points[:, 2] > -1.2]


def test_the_foremost_point_of_a_cell_is_stored() -> None:
    points = np.array([[0.0, 0.0, 0.1], [0.01, 0.01, 0.6], [0.0, 0.01, -0.3]], np.float32)
    depth, filled = depth_map(points, UPRIGHT)
    assert np.argwhere(filled).tolist() == [[GRID_SIZE * 155 // 250, GRID_SIZE // 2]]
    assert depth.max() == pytest.approx(0.6 - Z_MIDDLE, abs=1e-6)


def test_gaps_between_points_are_filled_and_the_outside_is_not() -> None:
    centres = (np.arange(4, 12) + 0.5) * 2.5 / GRID_SIZE
    grid = np.stack(np.meshgrid(centres - 1.25, centres - 1.55, [0.2]), axis=-1).reshape(-1, 3)
    whole = depth_map(grid.astype(np.float32), UPRIGHT)
    holed = depth_map(np.delete(grid, 27, axis=0).astype(np.float32), UPRIGHT)
    assert whole[1].sum() == 64
    np.testing.assert_allclose(holed, whole, atol=1e-6)


def test_map_follows_the_frame() -> None:
    points = mean_front().astype(np.float32)
    turn = rotation_yaw_pitch(0.4, -0.2)
    moved = (points @ turn.T + [5.0, -3.0, 9.0]).astype(np.float32)
    first = depth_map(points, Similarity(40.0, np.eye(3), np.zeros(3)))
    second = depth_map(moved, Similarity(40.0, turn, np.array([5.0, -3.0, 9.0])))
    # Single points may change their cell by rounding.
    assert np.mean(np.abs(first - second) > 1e-3) < 0.02


@pytest.mark.parametrize(("yaw_deg", "pitch_deg"), [(0, 0), (45, 0), (-30, 15), (10, -15)])
def test_frame_of_the_mean_head(yaw_deg: float, pitch_deg: float) -> None:
    turn = rotation_yaw_pitch(np.radians(yaw_deg), np.radians(pitch_deg))
    frame, error = regress_pose(mean_front() @ turn.T + [3.0, -5.0, 7.0])
    cosine = (np.trace(frame.rotation.T @ turn) - 1) / 2
    assert np.degrees(np.arccos(min(cosine, 1.0))) < 3
    assert frame.scale == pytest.approx(40, rel=0.05)
    assert np.linalg.norm(frame.translation - [3.0, -5.0, 7.0]) < 0.08 * 40
    assert (np.degrees(error) < 4).all()


def test_size_and_position_do_not_matter() -> None:
    points = mean_front()
    frame, _ = regress_pose(points)
    other, _ = regress_pose(2.5 * points + [100.0, 50.0, -20.0])
    np.testing.assert_allclose(other.rotation, frame.rotation, atol=5e-3)
    assert other.scale == pytest.approx(2.5 * frame.scale, rel=5e-3)


def test_results_do_not_depend_on_the_number_of_threads() -> None:
    program = (
        "import hashlib; from tests.geometry.test_pose_regressor import mean_front; "
        "from rayboot.geometry.pose import estimate_pose; pose = estimate_pose(mean_front()); "
        "print(hashlib.sha256(pose.gaze.tobytes() + pose.symmetry_normal.tobytes()).hexdigest())"
    )
    digests = set()
    for threads in ("1", "2", "4"):
        limits = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), threads)
        done = subprocess.run(
            [sys.executable, "-c", program],
            env=os.environ | limits,
            capture_output=True,
            text=True,
            check=True,
        )
        digests.add(done.stdout)
    assert len(digests) == 1
