import numpy as np
import pytest

from rayboot.errors import DegenerateInputError, ShapeError
from rayboot.geometry.camera import gaze_angles, rotation_yaw_pitch
from rayboot.geometry.head_model import load_head_model, mean_landmarks
from rayboot.geometry.landmarks68 import lift_landmarks, rotation_from_landmarks
from rayboot.geometry.pose import estimate_pose, landmarks_from_pose


def angle_deg(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.degrees(np.arccos(np.clip(a @ b, -1, 1))))


def mean_solid(depth: float = 1.0) -> np.ndarray:
    """Returns the mean face closed by a plane behind it, its outer eye corners 40 px apart."""
    front = load_head_model().mean[load_head_model().front].astype(float)
    back = front.copy()
    back[:, 2] = front[:, 2].max() - depth
    return 40 * np.concatenate([front, back])


@pytest.mark.parametrize("yaw_deg", [-30, 0, 12, 30])
@pytest.mark.parametrize("pitch_deg", [-15, 0, 15])
def test_pose_of_a_rotated_mean_face_is_recovered(yaw_deg: float, pitch_deg: float) -> None:
    rotation = rotation_yaw_pitch(np.radians(yaw_deg), np.radians(pitch_deg))
    pose = estimate_pose(mean_solid() @ rotation.T + [3.0, -5.0, 7.0])
    assert angle_deg(pose.symmetry_normal, rotation[:, 0]) < 1.0
    assert angle_deg(pose.gaze, rotation[:, 2]) < 1.5
    assert angle_deg(pose.up, rotation[:, 1]) < 1.5
    assert pose.confidence > 0.5


def test_axes_are_orthonormal_and_right_handed() -> None:
    rotation = rotation_yaw_pitch(0.3, -0.1)
    pose = estimate_pose(mean_solid() @ rotation.T)
    axes = np.stack([pose.symmetry_normal, pose.up, pose.gaze])
    assert np.allclose(axes @ axes.T, np.eye(3), atol=1e-9)
    assert np.linalg.det(axes) == pytest.approx(1.0)


def test_plane_is_in_the_middle_of_a_face_of_which_one_side_has_more_vertices() -> None:
    solid = mean_solid()
    shift = np.array([4.0, 0.0, 0.0])
    lopsided = np.concatenate([solid, solid[solid[:, 0] > 5]]) + shift
    pose = estimate_pose(lopsided)
    assert pose.plane_offset == pytest.approx(4.0, abs=0.6)
    assert pose.centroid[0] > 8
    covariance = estimate_pose(lopsided, "covariance")
    assert covariance.plane_offset == pytest.approx(
        covariance.centroid @ covariance.symmetry_normal
    )


def test_covariance_fails_where_depth_equals_width_and_refinement_does_not() -> None:
    rotation = rotation_yaw_pitch(np.radians(20), 0)
    # At this depth the spread along the gaze equals that across the face.
    depths = np.arange(0.6, 2.4, 0.05)
    spread = [np.ptp(np.linalg.eigvalsh(np.cov(mean_solid(d).T))[1:]) for d in depths]
    solid = mean_solid(float(depths[int(np.argmin(spread))])) @ rotation.T
    covariance = estimate_pose(solid, "covariance")
    refined = estimate_pose(solid)
    assert angle_deg(refined.symmetry_normal, rotation[:, 0]) < 1.0
    assert covariance.confidence < 0.2
    assert angle_deg(covariance.symmetry_normal, rotation[:, 0]) > angle_deg(
        refined.symmetry_normal, rotation[:, 0]
    )


def test_a_shape_that_is_not_a_face_has_low_confidence() -> None:
    rng = np.random.default_rng(0)
    blob = rng.normal(0, 30, (2000, 3)) * [1.0, 0.6, 0.8]
    assert estimate_pose(blob).confidence < 0.5 * estimate_pose(mean_solid()).confidence


def test_input_is_checked() -> None:
    with pytest.raises(DegenerateInputError, match="at least 50"):
        estimate_pose(np.zeros((10, 3)))  # a speck, as a weak network predicts: a reject, no crash
    with pytest.raises(ShapeError):
        estimate_pose(np.zeros((100, 2)))
    flat = np.random.default_rng(0).normal(size=(100, 3)) * [1, 1, 0]
    with pytest.raises(DegenerateInputError, match="plane or line"):
        estimate_pose(flat)


def test_landmarks_from_pose_match_the_rotated_face() -> None:
    rotation = rotation_yaw_pitch(0.2, 0.1)
    solid = mean_solid() @ rotation.T + [2.0, 1.0, 0.0]
    landmarks = landmarks_from_pose(estimate_pose(solid))
    true = 40 * mean_landmarks() @ rotation.T + [2.0, 1.0, 0.0]
    assert np.linalg.norm(landmarks - true, axis=1).mean() < 1.0
    with pytest.raises(DegenerateInputError, match="refined"):
        landmarks_from_pose(estimate_pose(solid, "covariance"))


@pytest.mark.parametrize("yaw_deg", [-60, -20, 0, 45, 80])
def test_rotation_from_projected_landmarks(yaw_deg: float) -> None:
    rotation = rotation_yaw_pitch(np.radians(yaw_deg), np.radians(10))
    rotated = 50 * mean_landmarks() @ rotation.T
    pixels = rotated[:, :2] * (1, -1) + 100
    assert np.allclose(rotation_from_landmarks(pixels), rotation, atol=1e-6)


def test_rotation_from_collinear_landmarks_is_refused() -> None:
    line = np.column_stack([np.arange(68.0), np.arange(68.0)])
    with pytest.raises(DegenerateInputError, match="line"):
        rotation_from_landmarks(line)
    with pytest.raises(ShapeError):
        rotation_from_landmarks(np.zeros((51, 2)))


def test_landmarks_are_lifted_to_the_nearest_covered_pixel() -> None:
    occupied = np.zeros((17, 9, 9), bool)
    for index, (row, column) in enumerate(np.ndindex(3, 3)):
        # From slice 2 up to slices 8 to 16, whose z is 0 to 4.
        occupied[2 : 9 + index, 3 + row, 3 + column] = True
    landmarks = np.tile([[4.0, 4.0]], (68, 1))
    landmarks[0], landmarks[1] = (0.0, 4.0), (100.0, 5.0)
    lifted = lift_landmarks(landmarks, occupied)
    assert lifted[2].tolist() == [0.0, 0.0, 2.0]
    assert lifted[0, 2] == 1.5
    assert lifted[1, 2] == 4.0
    with pytest.raises(DegenerateInputError):
        lift_landmarks(landmarks, np.zeros((17, 9, 9), bool))


def projected_landmarks(pitch_deg: float) -> np.ndarray:
    """Landmarks (68, 2), column and row, of the mean head looking up by a pitch."""
    turned = 40 * mean_landmarks() @ rotation_yaw_pitch(0, np.radians(pitch_deg)).T
    return turned[:, :2] * (1, -1) + 100


@pytest.mark.parametrize("pitch_deg", [-20, 20])
def test_landmarks_draw_the_pitch_towards_theirs_and_leave_the_plane(pitch_deg: float) -> None:
    landmarks = projected_landmarks(pitch_deg)
    flat = mean_solid() * (1, 1, 0.35)
    distances = []
    for solid in (mean_solid(), flat):
        alone, both = estimate_pose(solid), estimate_pose(solid, landmarks=landmarks)
        assert np.allclose(both.symmetry_normal, alone.symmetry_normal, atol=1e-9)
        before, after = (np.degrees(gaze_angles(pose.gaze)[1]) for pose in (alone, both))
        assert abs(after - pitch_deg) < abs(before - pitch_deg)
        assert both.confidence >= alone.confidence
        distances.append((before - after) / (before - pitch_deg))
    # A face whose nose is flattened tells the pitch less well, and follows the landmarks further.
    assert 0 < distances[0] < distances[1] < 1


def test_landmarks_are_checked() -> None:
    with pytest.raises(ShapeError, match="68 landmarks"):
        estimate_pose(mean_solid(), landmarks=np.zeros((51, 2)))
