import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from rayboot.errors import DegenerateInputError, ShapeError
from rayboot.geometry.camera import rotation_yaw_pitch
from rayboot.geometry.head_model import mean_landmarks
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
    fitted = fit_orthographic(points, camera.project(points))
    assert fitted.scale == pytest.approx(camera.scale, rel=1e-9)
    assert fitted.rotation == pytest.approx(camera.rotation, abs=1e-8)
    assert np.linalg.det(fitted.rotation) == pytest.approx(1)
    assert fitted.project(points) == pytest.approx(camera.project(points), abs=1e-7)


def test_result_is_independent_of_units():
    rng = np.random.default_rng(0)
    points, image = rng.normal(size=(20, 3)), rng.normal(size=(20, 2))
    fitted = fit_orthographic(points, image)
    rescaled = fit_orthographic(1e6 * points, 1e-3 * image)
    assert rescaled.scale == pytest.approx(1e-9 * fitted.scale, rel=1e-6)
    assert rescaled.rotation == pytest.approx(fitted.rotation, abs=1e-6)


@pytest.mark.parametrize("yaw_deg", [0, 20, 50, 85])
def test_a_noisy_face_is_fitted(yaw_deg):
    face = mean_landmarks()[17:48]
    rng = np.random.default_rng(0)
    for _ in range(10):
        rotation = rotation_yaw_pitch(np.radians(yaw_deg), np.radians(rng.uniform(-20, 20)))
        camera = OrthographicCamera(40.0, rotation, np.array([3.0, 5.0]))
        image = camera.project(face) + rng.normal(size=(len(face), 2), scale=0.5)
        fitted = fit_orthographic(face, image)
        error = Rotation.from_matrix(fitted.rotation @ rotation.T).magnitude()
        assert np.degrees(error) < 6
        assert fitted.scale == pytest.approx(40, rel=0.05)
        assert squared_error(fitted, face, image) <= squared_error(camera, face, image)


def test_the_fit_is_a_local_optimum():
    rng = np.random.default_rng(0)
    for _ in range(20):
        points, image = rng.normal(size=(12, 3)) * [1, 1, 0.2], rng.normal(size=(12, 2))
        fitted = fit_orthographic(points, image)
        optimum = squared_error(fitted, points, image)
        for _ in range(20):
            turn = Rotation.from_rotvec(rng.normal(size=3) * 1e-3).as_matrix()
            other = OrthographicCamera(
                fitted.scale * (1 + rng.normal() * 1e-3),
                turn @ fitted.rotation,
                fitted.translation + rng.normal(size=2) * 1e-3,
            )
            assert squared_error(other, points, image) >= optimum


def test_depth_has_the_scale_of_the_image():
    camera = OrthographicCamera(2.0, np.eye(3), np.array([10.0, 20.0]))
    assert camera.transform([[1, 2, 3]]) == pytest.approx(np.array([[12.0, 24.0, 6.0]]))


def test_ambiguous_inputs_are_refused():
    rng = np.random.default_rng(0)
    points, image = rng.normal(size=(9, 3)), rng.normal(size=(9, 2))
    with pytest.raises(DegenerateInputError, match="plane"):
        fit_orthographic(points * [1, 1, 0], image)
    with pytest.raises(DegenerateInputError, match="plane"):
        fit_orthographic(np.outer(np.arange(9.0), [1, 2, 3]), image)
    with pytest.raises(DegenerateInputError, match="line"):
        fit_orthographic(points, np.outer(np.arange(9.0), [1, 2]))
    for coincident in ((points * 0, image), (points, image * 0)):
        with pytest.raises(DegenerateInputError, match="one place"):
            fit_orthographic(*coincident)


@pytest.mark.parametrize(
    ("shape3d", "shape2d"), [((5, 2), (5, 2)), ((5, 3), (4, 2)), ((3, 3), (3, 2)), ((), ())]
)
def test_other_shapes_are_refused(shape3d, shape2d):
    with pytest.raises(ShapeError, match="expected points"):
        fit_orthographic(np.ones(shape3d), np.ones(shape2d))


def test_non_finite_points_are_refused():
    points = np.random.default_rng(0).normal(size=(6, 3))
    points[2, 1] = np.nan
    with pytest.raises(ShapeError, match="finite"):
        fit_orthographic(points, points[:, :2])
