import numpy as np
import pytest
from pydantic import ValidationError

from rayboot.geometry.camera import pixel_from_crop, rotation_yaw_pitch, transform_points
from rayboot.geometry.views import ViewConfig, plan_views, view_transform

SHAPE = (200, 96, 96)


def gaze_direction(yaw_deg, pitch_deg=0.0):
    return rotation_yaw_pitch(np.radians(yaw_deg), np.radians(pitch_deg)) @ [0, 0, 1]


def planned_yaws(face_yaw, **changes):
    return [view.yaw_deg for view in plan_views(gaze_direction(face_yaw), ViewConfig(**changes))]


def test_a_frontal_face_is_rotated_to_both_sides():
    assert sorted(planned_yaws(0.0)) == [-60, -40, -20, 20, 40, 60]


def test_presets_are_the_three_variants():
    assert sorted(planned_yaws(0, preset="small")) == [-20, 20]
    assert sorted(planned_yaws(0, preset="middle")) == [-40, -20, 20, 40]


def test_other_faces_are_rotated_only_further_away():
    assert planned_yaws(30.0) == [20, 40]  # 60 more would exceed max_gaze_deg.
    assert planned_yaws(-30.0) == [-20, -40]


def test_no_rotation_leads_towards_the_camera():
    # A yaw of 15 - 20 = -5 is closer to the camera's axis than 15.
    assert -20 not in planned_yaws(15.0) and -40 in planned_yaws(15.0)


def test_rotated_gazes_stay_within_the_limits():
    config = ViewConfig(pitch_steps_deg=(-30.0, 0.0, 30.0), max_pitch_deg=20, max_gaze_deg=50)
    views = plan_views(gaze_direction(5, 5), config)
    assert views
    for view in views:
        assert np.degrees(np.arccos(view.gaze[2])) <= 50
        assert view.pitch_deg < 30
        assert view.gaze == pytest.approx(view.rotation() @ gaze_direction(5, 5))


@pytest.mark.parametrize(
    "bad",
    [
        {"preset": None},
        {"preset": "large", "yaw_steps_deg": (10.0,)},
        {"preset": None, "yaw_steps_deg": (95.0,)},
        {"min_pitch_deg": 10, "max_pitch_deg": 0},
        {"unknown": 1},
    ],
)
def test_impossible_configs_are_refused(bad):
    with pytest.raises(ValidationError):
        ViewConfig(**bad)


def test_a_rotated_face_is_cropped_by_its_landmarks():
    rng = np.random.default_rng(0)
    vertices = rng.uniform(-20, 20, (500, 3))
    landmarks = rng.uniform(-15, 15, (68, 3))
    transform = view_transform(yaw_rotation(60), vertices, landmarks, vertices.mean(axis=0), SHAPE)
    pixels = pixel_from_crop(transform_points(transform, landmarks), 96, 96)
    assert np.sqrt(np.ptp(pixels, axis=0).prod()) == pytest.approx(45)
    assert pixels.mean(axis=0) == pytest.approx([47.5, 47.5])
    assert transform_points(transform, landmarks)[17:, 2].mean() == pytest.approx(96 / 8)


def test_a_solid_deeper_than_the_volume_keeps_its_front():
    rng = np.random.default_rng(0)
    vertices = rng.uniform(-20, 20, (500, 3)) * (1, 1, 2)
    landmarks = rng.uniform(-15, 15, (68, 3))
    transform = view_transform(yaw_rotation(0), vertices, landmarks, np.zeros(3), (96, 96, 96))
    z = transform_points(transform, vertices)[:, 2]
    assert np.ptp(z) > 48
    assert z.max() == pytest.approx(95 / 4 - 0.5)


def test_without_recrop_the_face_rotates_about_the_centroid():
    rng = np.random.default_rng(0)
    vertices, centroid = rng.uniform(-20, 20, (500, 3)), np.array([3.0, 4.0, 0.0])
    transform = view_transform(
        yaw_rotation(40), vertices, vertices[:68], centroid, SHAPE, recrop=False
    )
    assert transform_points(transform, centroid[None])[0, :2] == pytest.approx(centroid[:2])
    assert np.linalg.det(transform[:, :3]) == pytest.approx(1)


def yaw_rotation(yaw_deg):
    return rotation_yaw_pitch(np.radians(yaw_deg), 0.0)
