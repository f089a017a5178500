"""The sheet around a face, with the mean head as the face."""

import numpy as np
import pytest

from rayboot.errors import DegenerateInputError
from rayboot.geometry.camera import pixel_from_crop, rotation_yaw_pitch, transform_points
from rayboot.geometry.crop import landmark_crop
from rayboot.geometry.face_solid import build_face_solid, fill_soft_volume, solid_bounds
from rayboot.geometry.head_model import load_head_model, mean_landmarks
from rayboot.geometry.isosurface import extract_surface
from rayboot.geometry.mesh import Mesh
from rayboot.geometry.pose import FacePose, estimate_pose
from rayboot.render import Renderer, Scene
from rayboot.render.surroundings import build_scene
from rayboot.render.visibility import silhouette_mask
from tests.render.solids import SIZE, smooth_photo

MODEL = load_head_model()
MEAN = MODEL.mean.astype(float)
TURNS = [(0, 0), (30, 0), (-60, 0), (75, 0), (0, 25), (0, -25), (-40, 15)]


@pytest.fixture(scope="module")
def face() -> tuple[Mesh, FacePose, np.ndarray]:
    """A face that looks at the camera, its pose, and the transform (3, 4) from the mean head."""
    landmarks = mean_landmarks()
    scale = landmark_crop(landmarks[:, :2] * (1, -1), SIZE)[0, 0]
    solid = build_face_solid(MEAN, MODEL.faces, landmarks[:17], 42 / scale)
    shift = np.append(-scale * landmarks[:, :2].mean(axis=0), 0.0)
    transform = np.column_stack([scale * np.eye(3), shift])
    transform[2, 3] = -solid_bounds(solid, transform)[:, 2].mean()
    mesh = extract_surface(fill_soft_volume(solid, transform, (112, SIZE, SIZE)), cell=1)
    return mesh, estimate_pose(mesh.vertices), transform


@pytest.fixture(scope="module")
def renderer() -> Renderer:
    return Renderer(SIZE)


def turned(pose: FacePose, yaw_deg: float, pitch_deg: float = 0) -> np.ndarray:
    rotation = rotation_yaw_pitch(*np.radians([yaw_deg, pitch_deg]))
    return np.column_stack([rotation, pose.centroid - rotation @ pose.centroid])


def scene(face: tuple[Mesh, FacePose, np.ndarray], photo: np.ndarray) -> Scene:
    return build_scene(face[0], photo, face[1], "mirrored", "sheet")


@pytest.mark.egl
def test_unturned_it_shows_the_photo(
    face: tuple[Mesh, FacePose, np.ndarray], renderer: Renderer
) -> None:
    photo = smooth_photo()
    (image,) = renderer.render(scene(face, photo), [np.eye(3, 4)])
    difference = np.abs(image.astype(int) - photo).max(axis=-1)
    assert (difference <= 8).mean() > 0.99
    assert np.median(difference) <= 1


@pytest.mark.egl
@pytest.mark.parametrize("size", [SIZE, 2 * SIZE])
def test_a_plain_photo_stays_plain_from_everywhere(
    face: tuple[Mesh, FacePose, np.ndarray], size: int
) -> None:
    """There is no seam, no hole and no border, whichever way the head turns."""
    mesh, pose, _ = face
    scale = size // SIZE
    grown = mesh._replace(vertices=scale * mesh.vertices)
    pose = estimate_pose(grown.vertices)
    photo = np.full((size, size, 3), (90, 140, 200), np.uint8)
    scene = build_scene(grown, photo, pose, "mirrored", "sheet")
    images = Renderer(size).render(scene, [turned(pose, *turn) for turn in TURNS])
    assert np.abs(images.astype(int) - photo).max() <= 2


@pytest.mark.egl
@pytest.mark.parametrize("yaw_deg", [-60, -30, 30, 60])
def test_an_ear_turns_with_the_head(
    face: tuple[Mesh, FacePose, np.ndarray], renderer: Renderer, yaw_deg: float
) -> None:
    _, pose, transform = face
    # The outermost point of the ear that comes into view.
    ear = MEAN[np.argmax(-np.sign(yaw_deg) * MEAN[:, 0])]
    (place,) = transform_points(transform, ear[None])
    photo = np.zeros((SIZE, SIZE, 3), np.uint8)
    column, row = pixel_from_crop(place[None, :2], SIZE, SIZE)[0]
    rows, columns = np.mgrid[:SIZE, :SIZE]
    photo[np.hypot(rows - row, columns - column) < 3] = 255
    (image,) = renderer.render(scene(face, photo), [turned(pose, yaw_deg)])
    bright = image[..., 0] > 128
    seen = np.array([np.average(columns, weights=bright), np.average(rows, weights=bright)])
    expected = pixel_from_crop(
        transform_points(turned(pose, yaw_deg), place[None])[:, :2], SIZE, SIZE
    )[0]
    assert np.abs(seen - expected).max() < 0.06 * SIZE


@pytest.mark.egl
@pytest.mark.parametrize("yaw_deg", [-60, -40, 40, 60])
def test_skin_reaches_to_the_ears(
    face: tuple[Mesh, FacePose, np.ndarray], renderer: Renderer, yaw_deg: float
) -> None:
    """The sides, which the photo hardly shows, have the colour of the cheeks next to them."""
    mesh, pose, transform = face
    photo = np.full((SIZE, SIZE, 3), (30, 60, 200), np.uint8)
    photo[silhouette_mask(mesh.vertices, SIZE)] = (200, 140, 110)
    view = turned(pose, yaw_deg)
    (image,) = renderer.render(scene(face, photo), [view])
    # The contour in front of the ear that comes into view, from the eyes to the jaw's angle.
    contour = mean_landmarks()[1:5] if yaw_deg > 0 else mean_landmarks()[12:16]
    # A little before it, since the border is soft.
    contour = contour - (0, 0, -0.1)
    places = transform_points(view, transform_points(transform, contour))
    column, row = np.rint(pixel_from_crop(places, SIZE, SIZE)).astype(int).T
    assert (image[row, column, 0] > 150).all()


@pytest.mark.egl
def test_shoulders_stay_where_they_are(
    face: tuple[Mesh, FacePose, np.ndarray], renderer: Renderer
) -> None:
    photo = np.zeros((SIZE, SIZE, 3), np.uint8)
    photo[-6:-2, SIZE // 2 - 2 : SIZE // 2 + 2] = 255
    (image,) = renderer.render(scene(face, photo), [turned(face[1], 60)])
    columns = np.argwhere(image[..., 0] > 128)[:, 1]
    assert np.abs(columns.mean() - SIZE / 2) < 0.1 * SIZE


def test_a_pose_without_mean_face_is_refused(face: tuple[Mesh, FacePose, np.ndarray]) -> None:
    mesh, pose, _ = face
    with pytest.raises(DegenerateInputError, match="other surroundings"):
        build_scene(mesh, smooth_photo(), pose._replace(mean_face=None), "mirrored", "sheet")


def test_a_face_of_a_few_pixels_is_refused(face: tuple[Mesh, FacePose, np.ndarray]) -> None:
    mesh, pose, _ = face
    speck = mesh._replace(vertices=0.02 * mesh.vertices)
    with pytest.raises(DegenerateInputError, match="too few pixels"):
        build_scene(speck, smooth_photo(), pose, "mirrored", "sheet")
