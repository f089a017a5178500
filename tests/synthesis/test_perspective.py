import numpy as np
import pytest

from rayboot.geometry.camera import crop_from_pixel, transform_points
from rayboot.render import Renderer
from rayboot.synthesis.perspective import PerspectiveCamera
from rayboot.synthesis.photo import render_photo
from tests.synthesis.heads import MODEL, draw

POINTS = np.array([[10.0, -5.0, 0.0], [10.0, -5.0, 20.0], [10.0, -5.0, -20.0]])


def test_near_points_move_outward_and_keep_their_depth() -> None:
    projected = PerspectiveCamera(100.0).project(POINTS)
    assert np.allclose(projected[0], POINTS[0])
    assert np.allclose(projected[1], [12.5, -6.25, 20.0])
    assert np.allclose(projected[2, :2], POINTS[2, :2] / 1.2)


def test_a_distant_camera_is_orthographic() -> None:
    assert np.allclose(PerspectiveCamera(1e9).project(POINTS), POINTS)


@pytest.mark.egl
def test_photo_landmarks_and_shape_are_seen_from_the_same_camera() -> None:
    renderer = Renderer(96)
    near, far = (
        render_photo(draw(camera_distance=distance), MODEL, renderer, 96) for distance in (6.0, 1e7)
    )
    points = transform_points(far.photo_from_head, far.head)
    scale = np.cbrt(np.linalg.det(far.photo_from_head[:, :3]))
    seen = PerspectiveCamera(6.0 * scale).project(points)
    assert np.allclose(transform_points(near.photo_from_head, near.head), seen, atol=1e-3)
    plane = crop_from_pixel(near.landmarks, 96, 96)
    assert np.allclose(plane, seen[MODEL.landmarks, :2], atol=1e-3)
    assert np.abs(near.landmarks - far.landmarks).max() > 1
