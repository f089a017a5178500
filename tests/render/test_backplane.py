import numpy as np
import pytest

from rayboot.geometry.camera import rotation_yaw_pitch
from rayboot.geometry.pose import FacePose
from rayboot.render.backplane import build_backplane, fill_from_around
from rayboot.render.sheet import contact_sheet
from rayboot.render.silhouette import silhouette
from tests.render.solids import SIZE, ellipsoid, frontal_pose, smooth_photo


@pytest.mark.parametrize("yaw_deg", [-25, 0, 15])
@pytest.mark.parametrize("mode", ["filled", "photo"])
def test_the_plane_is_orthogonal_to_the_gaze_and_behind_the_solid(yaw_deg: int, mode: str) -> None:
    rotation = rotation_yaw_pitch(np.radians(yaw_deg), 0.1)
    mesh = ellipsoid()
    pose = FacePose(rotation[:, 0], rotation[:, 2], rotation[:, 1], np.zeros(3), 1.0)
    plane = build_backplane(smooth_photo(), mesh.vertices, pose, mode)
    heights = plane.corners @ pose.gaze
    assert np.ptp(heights) < 1e-6 * SIZE
    assert heights.max() < (mesh.vertices @ pose.gaze).min()


def test_none_draws_no_plane() -> None:
    assert build_backplane(smooth_photo(), ellipsoid().vertices, frontal_pose(), "none") is None


def test_the_face_is_taken_out_and_all_else_kept() -> None:
    photo = smooth_photo()
    mask = silhouette(ellipsoid().vertices, SIZE)
    photo[mask] = (255, 0, 0)
    filled = fill_from_around(photo, silhouette(ellipsoid().vertices, SIZE, margin=2))
    outside = ~silhouette(ellipsoid().vertices, SIZE, margin=2)
    assert np.array_equal(filled[outside], photo[outside])
    red = (filled[:, :, 0] > 230) & (filled[:, :, 1] < 30)
    assert not red[mask].any()


def test_filling_a_constant_gives_the_constant() -> None:
    image = np.full((40, 40, 3), (10, 120, 240), np.uint8)
    hole = np.zeros((40, 40), bool)
    hole[5:35, 8:30] = True
    assert np.abs(fill_from_around(image, hole).astype(int) - image).max() <= 1


def test_a_picture_that_is_all_hole_gets_its_mean() -> None:
    image = np.zeros((8, 8, 3), np.uint8)
    image[:4] = 100
    assert (fill_from_around(image, np.ones((8, 8), bool)) == 50).all()


def test_contact_sheet_puts_rows_below_each_other() -> None:
    a, b = np.zeros((4, 4, 3), np.uint8), np.full((4, 4, 3), 9, np.uint8)
    sheet = contact_sheet([[a, b], [b]], gap=1)
    assert sheet.shape == (9, 9, 3)
    assert (sheet[:4, :4] == 0).all()
    assert (sheet[5:, :4] == 9).all()
    assert (sheet[5:, 5:] == 255).all()
