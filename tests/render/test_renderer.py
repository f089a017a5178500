import os
import subprocess
import sys
import threading

import numpy as np
import pytest
from scipy import ndimage

from rayboot.errors import RaybootError
from rayboot.geometry.camera import rotation_yaw_pitch
from rayboot.geometry.mesh import Mesh
from rayboot.render import Renderer, Scene, textured_square
from rayboot.render.egl_device import EGLDevice, list_devices
from rayboot.render.renderer import open_renderer
from rayboot.render.surroundings import build_scene
from rayboot.render.texturing import color_vertices, texture_mesh
from rayboot.render.visibility import Visibility, compute_visibility
from tests.render.solids import SIZE, ellipsoid, frontal_pose, smooth_photo

pytestmark = pytest.mark.egl

IDENTITY = np.eye(3, 4)


@pytest.fixture(scope="module")
def renderer() -> Renderer:
    return Renderer(SIZE)


def yaw_view(yaw_deg: float) -> np.ndarray:
    return np.column_stack([rotation_yaw_pitch(np.radians(yaw_deg), 0), np.zeros(3)])


def render_unrotated(photo: np.ndarray) -> tuple[np.ndarray, Visibility]:
    """Returns the unrotated image of an ellipsoid with the photo on it, and its visibility.

    In a large photo the mesh is coarser: a vertex for every second column and row.
    """
    size = photo.shape[0]
    mesh, pose = ellipsoid(), frontal_pose()
    mesh = mesh._replace(vertices=size // SIZE * mesh.vertices)
    scene = build_scene(mesh, photo, pose, "mirrored", "plane")
    return Renderer(size).render(scene, [IDENTITY])[0], compute_visibility(mesh, size)


@pytest.mark.parametrize("size", [SIZE, 2 * SIZE])
def test_unrotated_view_reproduces_the_photo(size: int) -> None:
    photo = smooth_photo(size=size)
    image, visibility = render_unrotated(photo)
    # A pixel of the rim also shows the oblique side, which counts as hidden.
    visible = ndimage.binary_erosion(visibility.visible_pixels, np.ones((3, 3)), size // SIZE)
    difference = np.abs(image.astype(int) - photo)[visible]
    assert visible.sum() > 1500 * (size // SIZE) ** 2
    assert np.median(difference) <= 1
    assert (difference.max(axis=1) <= 8).mean() >= 0.99


@pytest.mark.parametrize("size", [SIZE, 2 * SIZE])
def test_a_pattern_finer_than_the_mesh_is_reproduced(size: int) -> None:
    photo = smooth_photo(size=size)
    photo[::2] = 255 - photo[::2]
    image, visibility = render_unrotated(photo)
    visible = visibility.visible_pixels & (visibility.outline_distance > 4)
    difference = np.abs(image.astype(int) - photo)[visible]
    assert visible.sum() > 1000 * (size // SIZE) ** 2
    assert np.median(difference) <= 1
    assert (difference.max(axis=1) <= 8).mean() >= 0.99


def test_textured_and_coloured_meshes_look_alike(renderer: Renderer) -> None:
    photo, pose = smooth_photo(4), frontal_pose()
    mesh = ellipsoid()
    colored = Scene(color_vertices(mesh, photo, pose, "mirrored"))
    textured = Scene(texture_mesh(mesh, photo, pose, "mirrored"))
    views = [yaw_view(yaw) for yaw in (-70, -30, 0, 50)]
    a, b = (renderer.render(scene, views).astype(int) for scene in (colored, textured))
    assert (a.max(axis=-1) > 0).sum() > 4000
    assert (np.abs(a - b).max(axis=-1) <= 8).mean() > 0.99


def test_photo_backplane_is_exact_outside_the_face(renderer: Renderer) -> None:
    photo, mesh, pose = smooth_photo(1), ellipsoid(), frontal_pose()
    (image,) = renderer.render(build_scene(mesh, photo, pose, "projected", "photo"), [IDENTITY])
    y, x = np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2
    outside = (x / 24) ** 2 + (y / 30) ** 2 > 1.2
    assert np.abs(image.astype(int) - photo)[outside].max() <= 1


def test_near_surfaces_hide_far_ones(renderer: Renderer) -> None:
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
    front, back = renderer.render(Scene(both), [IDENTITY, yaw_view(180)])
    middle = SIZE // 2
    assert front[middle, middle].tolist() == [255, 0, 0]
    assert back[middle, middle].tolist() == [0, 255, 0]
    assert front[0, 0].tolist() == [0, 0, 0]


def test_rows_grow_downwards_and_columns_to_the_right(renderer: Renderer) -> None:
    corners = np.array([[10, 10, 0], [30, 10, 0], [30, 30, 0], [10, 30, 0]], np.float32)
    faces = np.array([[0, 1, 2], [0, 2, 3]], np.int32)
    upper_right = Mesh(corners, faces, np.full((4, 3), 200, np.uint8))
    (image,) = renderer.render(Scene(upper_right), [IDENTITY])
    rows, columns = np.nonzero(image[:, :, 0])
    assert (rows.min(), rows.max()) == (18, 37)
    assert (columns.min(), columns.max()) == (58, 77)


def test_colours_are_rendered_unlit(renderer: Renderer) -> None:
    for color in ((1, 2, 3), (128, 64, 200), (255, 255, 255)):
        mesh = ellipsoid()._replace(colors=None)
        mesh = mesh._replace(colors=np.tile(np.array(color, np.uint8), (len(mesh.vertices), 1)))
        (image,) = renderer.render(Scene(mesh), [yaw_view(40)])
        assert image[SIZE // 2, SIZE // 2].tolist() == list(color)


def test_large_rotations_show_no_black_wedge(renderer: Renderer) -> None:
    photo, mesh, pose = np.maximum(smooth_photo(2), 30), ellipsoid(), frontal_pose()
    scene = build_scene(mesh, photo, pose, "mirrored", "plane")
    images = renderer.render(scene, [yaw_view(yaw) for yaw in (-80, -60, -40, 40, 60, 80)])
    assert (images.max(axis=-1) > 8).all()


def test_a_rotated_head_has_no_second_face_behind_it(renderer: Renderer) -> None:
    mesh, pose = ellipsoid(), frontal_pose()
    photo = np.full((SIZE, SIZE, 3), (40, 90, 40), np.uint8)
    y, x = np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2
    photo[(x / 24) ** 2 + (y / 30) ** 2 <= 1] = (220, 40, 40)
    filled, plain = (
        renderer.render(build_scene(mesh, photo, pose, "mirrored", mode), [yaw_view(60)])
        for mode in ("plane", "photo")
    )
    reddish = [
        (image[0, :, :, 0].astype(int) > image[0, :, :, 1] + 60) for image in (filled, plain)
    ]
    assert reddish[0].sum() < reddish[1].sum()
    # The rest is the head's own silhouette, whose half width is about 20 to 24 px.
    assert np.nonzero(reddish[0].any(axis=0))[0].min() > SIZE / 2 - 30


def test_a_renderer_works_from_another_thread(renderer: Renderer) -> None:
    photo, mesh, pose = smooth_photo(), ellipsoid(), frontal_pose()
    scene = Scene(color_vertices(mesh, photo, pose, "projected"))
    expected = renderer.render(scene, [IDENTITY])
    images: list[np.ndarray] = []
    thread = threading.Thread(target=lambda: images.append(renderer.render(scene, [IDENTITY])))
    thread.start()
    thread.join()
    assert np.array_equal(expected, images[0])


def test_a_scene_does_not_affect_later_ones(renderer: Renderer) -> None:
    photo, mesh, pose = smooth_photo(), ellipsoid(), frontal_pose()
    scene = Scene(color_vertices(mesh, photo, pose, "projected"))
    first = renderer.render(scene, [IDENTITY])
    square = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * SIZE / 2
    plane = textured_square(
        photo, np.column_stack([square, np.full(4, -30.0)]), square / SIZE + 0.5
    )
    renderer.render(scene._replace(surroundings=(plane,), background=(9, 9, 9)), [yaw_view(30)])
    assert np.array_equal(first, renderer.render(scene, [IDENTITY]))
    assert renderer.render(scene, []).shape == (0, SIZE, SIZE, 3)


def test_a_mesh_without_colours_is_refused(renderer: Renderer) -> None:
    with pytest.raises(ValueError, match="vertex colours"):
        renderer.render(Scene(ellipsoid()._replace(colors=None)), [IDENTITY])


@pytest.mark.parametrize("textured", [True, False])
def test_gains_change_only_the_face_of_their_view(renderer: Renderer, textured: bool) -> None:
    mesh, pose, photo = ellipsoid(), frontal_pose(), smooth_photo()
    colored = (texture_mesh if textured else color_vertices)(mesh, photo, pose, "mirrored")
    scene = build_scene(mesh, photo, pose, "mirrored", "photo")._replace(mesh=colored)
    views = [yaw_view(0), yaw_view(30)]
    ones = np.ones(len(colored.vertices), np.float32)
    plain = renderer.render(scene, views)
    assert np.array_equal(renderer.render(scene, views, [[ones], [ones]]), plain)
    dimmed = renderer.render(scene, views, [[ones], [0.5 * ones]])
    assert np.array_equal(dimmed[0], plain[0])
    ratio = dimmed[1].astype(float) / np.maximum(plain[1], 1)
    # The face is half as bright, the plane behind it unchanged.
    assert np.median(ratio[40:56, 40:56]) == pytest.approx(0.5, abs=0.02)
    assert np.median(ratio[:8, :8]) == 1


DEVICES = [
    EGLDevice(0, software=False, nvidia=True),
    EGLDevice(1, software=False),
    EGLDevice(2, software=True),
]


def open_with(monkeypatch: pytest.MonkeyPatch, kind: str, works: set[int]) -> tuple[int, list[int]]:
    """Returns the device that is chosen, and those that were tried."""
    monkeypatch.setattr("rayboot.render.renderer.list_devices", lambda: DEVICES)
    tried = []

    def open_on(device: EGLDevice, _size: int) -> str:
        tried.append(device.egl_index)
        if device.egl_index not in works:
            raise RuntimeError("eglInitialize failed")
        return "renderer"

    device, _ = open_renderer(16, kind, open_on)
    return device.egl_index, tried


def test_a_device_that_does_not_render_is_passed_over(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert open_with(monkeypatch, "auto", works={0, 1, 2}) == (0, [0])
    assert open_with(monkeypatch, "auto", works={1, 2}) == (1, [0, 1])
    assert not caplog.records
    assert open_with(monkeypatch, "auto", works={2}) == (2, [0, 1, 2])
    (record,) = caplog.records
    assert "in software instead of on a GPU" in record.message
    assert "EGL device 0: RuntimeError: eglInitialize failed" in record.message


def test_software_is_no_substitute_for_a_configured_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RaybootError, match=r"render_device is gpu.*device 1: RuntimeError"):
        open_with(monkeypatch, "gpu", works={2})


def test_a_platform_of_the_users_shell_does_not_matter() -> None:
    code = "from rayboot.render import Renderer; Renderer(16)"
    environment = {**os.environ, "PYOPENGL_PLATFORM": "osmesa"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.gpu
def test_a_gpu_renders_what_the_software_renderer_does() -> None:
    if not any(device.nvidia for device in list_devices()):
        pytest.skip("EGL lists no GPU of NVIDIA")
    scene = build_scene(ellipsoid(), smooth_photo(), frontal_pose(), "mirrored", "plane")
    on_gpu, in_software = (
        Renderer(SIZE, render_device=kind).render(scene, [IDENTITY, yaw_view(40)]).astype(int)
        for kind in ("gpu", "software")
    )
    difference = np.abs(on_gpu - in_software)
    # Edges may differ by a pixel.
    assert np.median(difference) == 0 and (difference > 8).mean() < 0.02
