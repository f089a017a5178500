import numpy as np
import pytest

from rayboot.geometry.camera import rotation_yaw_pitch
from rayboot.geometry.pose import FacePose
from rayboot.render.contact_sheet import contact_sheet
from rayboot.render.surroundings import build_scene
from tests.render.solids import SIZE, ellipsoid, frontal_pose, smooth_photo


@pytest.mark.parametrize("yaw_deg", [-25, 0, 15])
@pytest.mark.parametrize("mode", ["plane", "photo"])
def test_backplane_is_orthogonal_to_the_gaze_and_behind_the_solid(yaw_deg: int, mode: str) -> None:
    rotation = rotation_yaw_pitch(np.radians(yaw_deg), 0.1)
    mesh = ellipsoid()
    pose = FacePose(rotation[:, 0], rotation[:, 2], rotation[:, 1], np.zeros(3), 1.0)
    (plane,) = build_scene(mesh, smooth_photo(), pose, "mirrored", mode).surroundings
    depths = plane.vertices @ pose.gaze
    assert np.ptp(depths) < 1e-6 * SIZE
    assert depths.max() < (mesh.vertices @ pose.gaze).min()


def test_mode_none_gives_no_surroundings() -> None:
    scene = build_scene(ellipsoid(), smooth_photo(), frontal_pose(), "mirrored", "none")
    assert scene.surroundings == ()


def test_contact_sheet_arranges_rows_top_to_bottom() -> None:
    a, b = np.zeros((4, 4, 3), np.uint8), np.full((4, 4, 3), 9, np.uint8)
    sheet = contact_sheet([[a, b], [b]], gap=1)
    assert sheet.shape == (9, 9, 3)
    assert (sheet[:4, :4] == 0).all()
    assert (sheet[5:, :4] == 9).all()
    assert (sheet[5:, 5:] == 255).all()


def test_labels_stand_above_columns_and_below_rows() -> None:
    image = np.zeros((64, 64, 3), np.uint8)
    sheet = contact_sheet([[image, None], [image, image]], columns=["a", "b"], names=["x", "y"])
    black = (sheet == 0).all(axis=-1)
    assert black.sum() == 3 * 64 * 64
    top = int(np.flatnonzero(black.any(axis=1))[0])
    above, below = sheet[:top], sheet[top + 64 : top + 78, :64]
    assert (above[:, :64] < 255).any()
    assert (above[:, 66:] < 255).any()
    assert (below < 255).any()
