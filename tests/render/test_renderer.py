import threading

import numpy as np
import pytest
from scipy import ndimage

from rayboot.geometry.camera import rotation_yaw_pitch
from rayboot.geometry.mesh import Mesh
from rayboot.render import Backplane, Renderer, Scene
from rayboot.render.backplane import build_backplane
from rayboot.render.texturing import color_vertices, texture_mesh
from rayboot.render.visibility import Visibility, compute_visibility
from tests.render.solids import SIZE, ellipsoid, frontal_pose, smooth_photo

pytestmark = pytest.mark.egl

STILL = np.eye(3, 4)


@pytest.fixture(scope="module")
def renderer() -> Renderer:
    return Renderer(SIZE)


def turned(yaw_deg: float) -> np.ndarray:
    return np.column_stack([rotation_yaw_pitch(np.radians(yaw_deg), 0), np.zeros(3)])


def unturned(photo: np.ndarray) -> tuple[np.ndarray, Visibility]:
    """The picture of an ellipsoid with the photo on it, and what the camera saw of it.

    In a large photo the mesh is thinner: a vertex for every second column and row.
    """
    size = photo.shape[0]
    mesh, pose = ellipsoid(), frontal_pose()
    mesh = mesh._replace(vertices=size // SIZE * mesh.vertices)
    plane = build_backplane(photo, mesh.vertices, pose, "plane")
    scene = Scene(texture_mesh(mesh, photo, pose, "mirrored"), plane)
    return Renderer(size).render(scene, [STILL])[0], compute_visibility(mesh, size)


@pytest.mark.parametrize("size", [SIZE, 2 * SIZE])
def test_unturned_view_reproduces_the_photo(size: int) -> None:
    photo = smooth_photo(size=size)
    image, sight = unturned(photo)
    # A pixel of the rim shows the oblique side too, which the camera did not see well.
    visible = ndimage.binary_erosion(sight.pixels, np.ones((3, 3)), size // SIZE)
    difference = np.abs(image.astype(int) - photo)[visible]
    assert visible.sum() > 1500 * (size // SIZE) ** 2
    assert np.median(difference) <= 1
    assert (difference.max(axis=1) <= 8).mean() >= 0.99


@pytest.mark.parametrize("size", [SIZE, 2 * SIZE])
def test_a_pattern_finer_than_the_mesh_is_reproduced(size: int) -> None:
    photo = smooth_photo(size=size)
    photo[::2] = 255 - photo[::2]
    image, sight = unturned(photo)
    visible = sight.pixels & (sight.inside > 4)
    difference = np.abs(image.astype(int) - photo)[visible]
    assert visible.sum() > 1000 * (size // SIZE) ** 2
    assert np.median(difference) <= 1
    assert (difference.max(axis=1) <= 8).mean() >= 0.99


def test_a_draped_mesh_looks_as_a_painted_one(renderer: Renderer) -> None:
    photo, pose = smooth_photo(4), frontal_pose()
    mesh = ellipsoid()
    painted = Scene(color_vertices(mesh, photo, pose, "mirrored"))
    draped = Scene(texture_mesh(mesh, photo, pose, "mirrored"))
    views = [turned(yaw) for yaw in (-70, -30, 0, 50)]
    a, b = (renderer.render(scene, views).astype(int) for scene in (painted, draped))
    assert (a.max(axis=-1) > 0).sum() > 4000
    assert (np.abs(a - b).max(axis=-1) <= 8).mean() > 0.99


def test_plain_photo_behind_is_exact_where_no_face_is(renderer: Renderer) -> None:
    photo, mesh, pose = smooth_photo(1), ellipsoid(), frontal_pose()
    plane = build_backplane(photo, mesh.vertices, pose, "photo")
    (image,) = renderer.render(
        Scene(color_vertices(mesh, photo, pose, "projected"), plane), [STILL]
    )
    y, x = np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2
    outside = (x / 24) ** 2 + (y / 30) ** 2 > 1.2
    assert np.abs(image.astype(int) - photo)[outside].max() <= 1


def test_nearer_surfaces_hide_farther_ones(renderer: Renderer) -> None:
    def square(z: float, color: tuple[int, int, int]) -> Mesh:
        corners = np.array([[-20, -20, z], [20, -20, z], [20, 20, z], [-20, 20, z]], np.float32)
        return Mesh(
            corners, np.array([[0, 1, 2], [0, 2, 3]], np.int32), np.array([color] * 4, np.uint8)
        )

    near, far = square(10, (255, 0, 0)), square(-10, (0, 255, 0))
    both = Mesh(
        np.concatenate([near.vertices, far.vertices]),
        np.concatenate([near.faces, far.faces + 4]),
        np.concatenate([near.colors, far.colors]),
    )
    front, back = renderer.render(Scene(both), [STILL, turned(180)])
    middle = SIZE // 2
    assert front[middle, middle].tolist() == [255, 0, 0]
    assert back[middle, middle].tolist() == [0, 255, 0]
    assert front[0, 0].tolist() == [0, 0, 0]


def test_rows_go_down_and_columns_right(renderer: Renderer) -> None:
    corners = np.array([[10, 10, 0], [30, 10, 0], [30, 30, 0], [10, 30, 0]], np.float32)
    faces = np.array([[0, 1, 2], [0, 2, 3]], np.int32)
    upper_right = Mesh(corners, faces, np.full((4, 3), 200, np.uint8))
    (image,) = renderer.render(Scene(upper_right), [STILL])
    rows, columns = np.nonzero(image[:, :, 0])
    assert (rows.min(), rows.max()) == (18, 37)
    assert (columns.min(), columns.max()) == (58, 77)


def test_colours_are_emitted_as_they_are(renderer: Renderer) -> None:
    for color in ((1, 2, 3), (128, 64, 200), (255, 255, 255)):
        mesh = ellipsoid()._replace(colors=None)
        mesh = mesh._replace(colors=np.tile(np.array(color, np.uint8), (len(mesh.vertices), 1)))
        (image,) = renderer.render(Scene(mesh), [turned(40)])
        assert image[SIZE // 2, SIZE // 2].tolist() == list(color)


def test_no_black_wedge_at_large_turns(renderer: Renderer) -> None:
    photo, mesh, pose = np.maximum(smooth_photo(2), 30), ellipsoid(), frontal_pose()
    scene = Scene(
        texture_mesh(mesh, photo, pose, "mirrored"),
        build_backplane(photo, mesh.vertices, pose, "plane"),
    )
    images = renderer.render(scene, [turned(yaw) for yaw in (-80, -60, -40, 40, 60, 80)])
    assert (images.max(axis=-1) > 8).all()


def test_a_turned_head_has_no_second_face_behind_it(renderer: Renderer) -> None:
    mesh, pose = ellipsoid(), frontal_pose()
    photo = np.full((SIZE, SIZE, 3), (40, 90, 40), np.uint8)
    y, x = np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2
    photo[(x / 24) ** 2 + (y / 30) ** 2 <= 1] = (220, 40, 40)
    draped = texture_mesh(mesh, photo, pose, "mirrored")
    filled, plain = (
        renderer.render(
            Scene(draped, build_backplane(photo, mesh.vertices, pose, mode)), [turned(60)]
        )
        for mode in ("plane", "photo")
    )
    reddish = [
        (image[0, :, :, 0].astype(int) > image[0, :, :, 1] + 60) for image in (filled, plain)
    ]
    assert reddish[0].sum() < reddish[1].sum()
    # What is left is the head's own silhouette, about 20 to 24 px half wide.
    assert np.nonzero(reddish[0].any(axis=0))[0].min() > SIZE / 2 - 30


def test_a_renderer_may_be_used_from_another_thread(renderer: Renderer) -> None:
    photo, mesh, pose = smooth_photo(), ellipsoid(), frontal_pose()
    scene = Scene(color_vertices(mesh, photo, pose, "projected"))
    here = renderer.render(scene, [STILL])
    there: list[np.ndarray] = []
    thread = threading.Thread(target=lambda: there.append(renderer.render(scene, [STILL])))
    thread.start()
    thread.join()
    assert np.array_equal(here, there[0])


def test_scenes_leave_nothing_behind(renderer: Renderer) -> None:
    photo, mesh, pose = smooth_photo(), ellipsoid(), frontal_pose()
    scene = Scene(color_vertices(mesh, photo, pose, "projected"))
    first = renderer.render(scene, [STILL])
    square = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * SIZE / 2
    plane = Backplane(photo, np.column_stack([square, np.full(4, -30.0)]), square / SIZE + 0.5)
    renderer.render(scene._replace(backplane=plane, background=(9, 9, 9)), [turned(30)])
    assert np.array_equal(first, renderer.render(scene, [STILL]))
    assert renderer.render(scene, []).shape == (0, SIZE, SIZE, 3)


def test_unpainted_mesh_is_refused(renderer: Renderer) -> None:
    with pytest.raises(ValueError, match="paint it"):
        renderer.render(Scene(ellipsoid()._replace(colors=None)), [STILL])


@pytest.mark.parametrize("draped", [True, False])
def test_gains_change_the_face_of_their_view_alone(renderer: Renderer, draped: bool) -> None:
    mesh, pose, photo = ellipsoid(), frontal_pose(), smooth_photo()
    painted = (texture_mesh if draped else color_vertices)(mesh, photo, pose, "mirrored")
    scene = Scene(painted, build_backplane(photo, mesh.vertices, pose, "photo"))
    views = [turned(0), turned(30)]
    whole = np.ones(len(painted.vertices), np.float32)
    plain = renderer.render(scene, views)
    assert np.array_equal(renderer.render(scene, views, [whole, whole]), plain)
    dimmed = renderer.render(scene, views, [whole, 0.5 * whole])
    assert np.array_equal(dimmed[0], plain[0])
    ratio = dimmed[1].astype(float) / np.maximum(plain[1], 1)
    # The face is half as bright, the plane behind it as before.
    assert np.median(ratio[40:56, 40:56]) == pytest.approx(0.5, abs=0.02)
    assert np.median(ratio[:8, :8]) == 1
