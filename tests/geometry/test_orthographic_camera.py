import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from rayboot.errors import DegenerateInputError, ShapeError
from rayboot.geometry.camera import rotation_yaw_pitch
from rayboot.geometry.mean_face import load_mean_face
from rayboot.geometry.orthographic_camera import OrthographicCamera, fit_orthographic


def squared_error(camera, points3d, points2d):
    return float(np.square(camera.project(points3d) - points2d).sum())


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("count", [4, 51])
def test_a_known_camera_is_recovered(seed, count):
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(count, 3)) * [3, 4, 1] + [50, -20, 7]
    camera = OrthographicCamera(
        rng.uniform(0.1, 9), Rotation.random(random_state=seed).as_matrix(), rng.normal(size=2)
    )
    found = fit_orthographic(points, camera.project(points))
    assert found.scale == pytest.approx(camera.scale, rel=1e-9)
    assert found.rotation == pytest.approx(camera.rotation, abs=1e-8)
    assert np.linalg.det(found.rotation) == pytest.approx(1)
    assert found.project(points) == pytest.approx(camera.project(points), abs=1e-7)


def test_units_of_either_side_do_not_matter():
    rng = np.random.default_rng(0)
    points, seen = rng.normal(size=(20, 3)), rng.normal(size=(20, 2))
    found = fit_orthographic(points, seen)
    large = fit_orthographic(1e6 * points, 1e-3 * seen)
    assert large.scale == pytest.approx(1e-9 * found.scale, rel=1e-6)
    assert large.rotation == pytest.approx(found.rotation, abs=1e-6)


@pytest.mark.parametrize("yaw_deg", [0, 20, 50, 85])
def test_a_face_is_placed_in_spite_of_noise(yaw_deg):
    face = load_mean_face().landmarks[17:48]
    rng = np.random.default_rng(0)
    for _ in range(10):
        rotation = rotation_yaw_pitch(np.radians(yaw_deg), np.radians(rng.uniform(-20, 20)))
        camera = OrthographicCamera(40.0, rotation, np.array([3.0, 5.0]))
        seen = camera.project(face) + rng.normal(size=(len(face), 2), scale=0.5)
        found = fit_orthographic(face, seen)
        apart = Rotation.from_matrix(found.rotation @ rotation.T).magnitude()
        assert np.degrees(apart) < 6
        assert found.scale == pytest.approx(40, rel=0.05)
        assert squared_error(found, face, seen) <= squared_error(camera, face, seen)


def test_no_camera_nearby_is_better():
    rng = np.random.default_rng(0)
    for _ in range(20):
        points, seen = rng.normal(size=(12, 3)) * [1, 1, 0.2], rng.normal(size=(12, 2))
        found = fit_orthographic(points, seen)
        least = squared_error(found, points, seen)
        for _ in range(20):
            turn = Rotation.from_rotvec(rng.normal(size=3) * 1e-3).as_matrix()
            other = OrthographicCamera(
                found.scale * (1 + rng.normal() * 1e-3),
                turn @ found.rotation,
                found.translation + rng.normal(size=2) * 1e-3,
            )
            assert squared_error(other, points, seen) >= least


def test_depth_is_placed_at_the_picture_s_scale():
    camera = OrthographicCamera(2.0, np.eye(3), np.array([10.0, 20.0]))
    assert camera.place([[1, 2, 3]]) == pytest.approx(np.array([[12.0, 24.0, 6.0]]))


def test_what_leaves_the_camera_open_is_refused():
    rng = np.random.default_rng(0)
    points, seen = rng.normal(size=(9, 3)), rng.normal(size=(9, 2))
    with pytest.raises(DegenerateInputError, match="plane"):
        fit_orthographic(points * [1, 1, 0], seen)
    with pytest.raises(DegenerateInputError, match="plane"):
        fit_orthographic(np.outer(np.arange(9.0), [1, 2, 3]), seen)
    with pytest.raises(DegenerateInputError, match="line"):
        fit_orthographic(points, np.outer(np.arange(9.0), [1, 2]))
    for alike in ((points * 0, seen), (points, seen * 0)):
        with pytest.raises(DegenerateInputError, match="one place"):
            fit_orthographic(*alike)


@pytest.mark.parametrize(
    ("shape3d", "shape2d"), [((5, 2), (5, 2)), ((5, 3), (4, 2)), ((3, 3), (3, 2)), ((), ())]
)
def test_other_shapes_are_refused(shape3d, shape2d):
    with pytest.raises(ShapeError, match="expected points"):
        fit_orthographic(np.ones(shape3d), np.ones(shape2d))


def test_what_is_no_number_is_refused():
    points = np.random.default_rng(0).normal(size=(6, 3))
    points[2, 1] = np.nan
    with pytest.raises(ShapeError, match="finite"):
        fit_orthographic(points, points[:, :2])
