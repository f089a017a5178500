import numpy as np
import pytest

from rayboot.geometry.camera import rotation_in_plane, rotation_yaw_pitch
from rayboot.geometry.pose import FacePose
from rayboot.serving.face_description import _describe_pose


@pytest.mark.parametrize("degrees", [(0, 0, 0), (20, 0, 0), (-15, 10, 0), (0, 0, 12), (0, 0, -30)])
def test_angles_are_those_of_the_rotation(degrees: tuple[float, float, float]) -> None:
    yaw, pitch, roll = np.radians(degrees)
    rotation = rotation_in_plane(roll) @ rotation_yaw_pitch(yaw, pitch)
    normal, up, gaze = rotation.T
    described = _describe_pose(FacePose(normal, gaze, up, np.zeros(3), 0.5))
    angles = [described[name] for name in ("yaw_deg", "pitch_deg", "roll_deg")]
    assert angles == pytest.approx(list(degrees), abs=0.02)
