"""Unlit rendering of meshes through EGL, with an orthographic camera.

OpenGL is imported here and, to list the devices, in
:mod:`rayboot.render.egl_device`. A process should create one :class:`Renderer`
and keep it: creating one costs more than a hundred views.
"""

import logging
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import zip_longest
from pathlib import Path
from typing import Any

# Both settings must precede the import: pyrender imports pyglet's window module, which
# fails where X11 libraries are missing. A platform that the user's shell names for other
# programs (osmesa) has no off-screen renderer here.
os.environ["PYOPENGL_PLATFORM"] = "egl"

import pyglet

pyglet.options["headless"] = True

# The settings above come first, so these imports cannot be at the top.
import numpy as np  # noqa: E402
import pyrender  # noqa: E402
from OpenGL.GL import GL_CLAMP_TO_EDGE, GL_LINEAR  # noqa: E402

from rayboot.errors import RaybootError  # noqa: E402
from rayboot.render.egl_device import (  # noqa: E402
    DeviceKind,
    EGLDevice,
    explain_no_gpu,
    list_devices,
    rank_devices,
)
from rayboot.render.scene import Scene, TexturedMesh, TexturedSurface  # noqa: E402

__all__ = ["Renderer", "open_renderer"]

_LOG = logging.getLogger(__name__)

_HALF_DEPTH_RANGE = 4000.0
"""Half of the depth range, px; a rotated backplane extends far."""

_TWO_SIDED = pyrender.RenderFlags.FLAT | pyrender.RenderFlags.SKIP_CULL_FACES
_ONE_SIDED = pyrender.RenderFlags.FLAT
"""Culls back faces, which halves the time; for closed meshes, whose front hides them."""


def open_renderer(
    size: int,
    render_device: DeviceKind,
    open_on: Callable[[EGLDevice, int], pyrender.OffscreenRenderer] | None = None,
) -> tuple[EGLDevice, pyrender.OffscreenRenderer]:
    """Returns the first device that really renders, and a renderer on it.

    A device that EGL lists may be unable to render. Where ``auto`` ends with the software
    renderer although there is a GPU, a warning says why.

    Args:
        size: width and height of the images, px.
        render_device: kind of device.
        open_on: function that opens a renderer on a device and raises if it does not render.

    Raises:
        RaybootError: no device of that kind renders.
    """
    devices, failures = list_devices(), []
    for device in rank_devices(devices, render_device, os.getpid()):
        try:
            renderer = (open_on or _open_on)(device, size)
        except Exception as error:  # drivers fail in many ways
            failures.append(f"EGL device {device.egl_index}: {type(error).__name__}: {error}")
            continue
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        reasons = [explain_no_gpu(devices, visible, Path("/dev")), *failures]
        if render_device == "auto" and device.software and any(reasons):
            _LOG.warning(
                "rendering in software instead of on a GPU: %s; see rayboot doctor",
                "; ".join(filter(None, reasons)),
            )
        return device, renderer
    raise RaybootError(
        f"render_device is {render_device}, and no such device renders ({'; '.join(failures)}); "
        "see rayboot doctor"
    )


def _open_on(device: EGLDevice, size: int) -> pyrender.OffscreenRenderer:
    """Opens a renderer on a device and draws one triangle, which covers the whole image."""
    # pyrender accepts the choice of a device only through this variable.
    os.environ["EGL_DEVICE_ID"] = str(device.egl_index)
    renderer = pyrender.OffscreenRenderer(size, size)
    corners = np.array([[-9, -9, -1], [9, -9, -1], [0, 9, -1]], np.float32)
    triangle = pyrender.Primitive(
        positions=corners,
        color_0=np.tile(np.array([1, 0, 0], np.float32), (3, 1)),
        material=_material(),
    )
    scene = pyrender.Scene(bg_color=(0.0, 0.0, 1.0, 1.0))
    scene.add(pyrender.Mesh([triangle]))
    scene.add(pyrender.OrthographicCamera(1.0, 1.0, znear=0.1, zfar=10.0))
    color, _ = renderer.render(scene, flags=_TWO_SIDED)
    centre = color[size // 2, size // 2].tolist()
    if centre != [255, 0, 0]:
        renderer.delete()
        raise RuntimeError(f"a red triangle was rendered as {centre}")
    return renderer


class Renderer:
    """Renders scenes to images of ``size`` x ``size`` pixels, frame of the crop.

    Args:
        size: width and height of the images, px.
        supersample: factor of supersampling along each axis; each pixel is the mean of its
            square. With 1 the photo's own pixels are reproduced.
        render_device: kind of device; of several GPUs each process uses one.

    Attributes:
        device: device that it renders on.

    Raises:
        RaybootError: no device of that kind renders.
    """

    device: EGLDevice

    def __init__(self, size: int, supersample: int = 1, render_device: DeviceKind = "auto") -> None:
        self._size, self._supersample = size, supersample
        # An OpenGL context belongs to the thread that created it, and Ray calls a stage
        # from a thread other than the one that constructed it.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="render")
        self.device, self._renderer = self._thread.submit(
            open_renderer, size * supersample, render_device
        ).result()
        self._scene = pyrender.Scene()
        camera = pyrender.OrthographicCamera(
            size / 2, size / 2, znear=1.0, zfar=2 * _HALF_DEPTH_RANGE
        )
        pose = np.eye(4)
        pose[2, 3] = _HALF_DEPTH_RANGE
        self._scene.add(camera, pose=pose)

    def render(
        self,
        scene: Scene,
        views: Sequence[np.ndarray],
        gains: Sequence[Sequence[np.ndarray]] | None = None,
    ) -> np.ndarray:
        """Renders one scene from several views.

        Args:
            scene: coloured or textured mesh, and its surroundings.
            views: (3, 4) transforms from the scene's frame to each view's, px.
            gains: for each view the factors (N,) on the colours of the mesh's vertices, followed
                by those of its surroundings, as far as they have any. Without them the scene is
                uploaded once, with them once per view.

        Returns:
            (V, size, size, 3) uint8 sRGB.

        Raises:
            ValueError: the mesh has no colours.
        """
        return self._thread.submit(self._render, scene, views, gains).result()

    def _render(
        self,
        scene: Scene,
        views: Sequence[np.ndarray],
        gains: Sequence[Sequence[np.ndarray]] | None,
    ) -> np.ndarray:
        self._scene.bg_color = np.array([*(np.asarray(scene.background) / 255.0), 1.0])
        if gains is None:
            images = self._render_views(scene, views, ())
        else:
            images = [
                image
                for view, own in zip(views, gains, strict=True)
                for image in self._render_views(scene, [view], own)
            ]
        return np.stack(images) if images else np.zeros((0, self._size, self._size, 3), np.uint8)

    def _render_views(
        self, scene: Scene, views: Sequence[np.ndarray], gains: Sequence[np.ndarray]
    ) -> list[np.ndarray]:
        parts = [_mesh_primitive(scene, gains[0] if gains else None)]
        # Surfaces that share an image share its upload.
        textures = {id(part.image): part.image for part in scene.surroundings}
        textures = {key: _texture(image) for key, image in textures.items()}
        parts += [
            _surface_primitive(surface, textures[id(surface.image)], gain)
            for surface, gain in zip_longest(scene.surroundings, gains[1:])
        ]
        # One node: pyrender draws several in an order that differs from run to run, and where
        # surfaces meet the order decides about single pixels.
        node = self._scene.add(pyrender.Mesh(parts))
        try:
            flags = _ONE_SIDED if isinstance(scene.mesh, TexturedMesh) else _TWO_SIDED
            return [self._render_view(node, view, flags) for view in views]
        finally:
            self._scene.remove_node(node)

    def _render_view(self, node: pyrender.Node, view: np.ndarray, flags: int) -> np.ndarray:
        self._scene.set_pose(node, np.vstack([view, [0.0, 0.0, 0.0, 1.0]]))
        color, _ = self._renderer.render(self._scene, flags=flags)
        factor = self._supersample
        if factor == 1:
            return np.array(color)
        blocks = color.reshape(self._size, factor, self._size, factor, 3).astype(np.uint16)
        means = (blocks.sum(axis=(1, 3)) + factor**2 // 2) // factor**2
        return np.asarray(means, np.uint8)


def _material(**texture: pyrender.Texture) -> pyrender.MetallicRoughnessMaterial:
    # Floats, because pyrender reads integers as bytes: 1 would be 1 of 255.
    return pyrender.MetallicRoughnessMaterial(baseColorFactor=(1.0, 1.0, 1.0, 1.0), **texture)


def _mesh_primitive(scene: Scene, gain: np.ndarray | None) -> pyrender.Primitive:
    """Returns the scene's mesh for pyrender, its colours multiplied by ``gain`` (N,)."""
    mesh = scene.mesh
    factor = np.float32(1) if gain is None else gain[:, None].astype(np.float32)
    # Built from arrays, because Mesh.from_trimesh would duplicate every vertex.
    arrays: dict[str, Any] = {
        "positions": np.asarray(mesh.vertices, np.float32),
        "indices": np.asarray(mesh.faces, np.uint32),
    }
    if isinstance(mesh, TexturedMesh):
        return pyrender.Primitive(
            **arrays,
            color_0=mesh.factors * factor,
            texcoord_0=mesh.texture_coordinates,
            material=_material(baseColorTexture=_texture(mesh.image)),
        )
    if mesh.colors is None:
        raise ValueError(
            "expected a mesh with vertex colours, got colors=None; "
            "colour it with rayboot.render.texturing.color_vertices first"
        )
    colors = np.asarray(mesh.colors, np.float32) / 255.0 * factor
    return pyrender.Primitive(**arrays, color_0=colors, material=_material())


def _surface_primitive(
    surface: TexturedSurface, texture: pyrender.Texture, gain: np.ndarray | None
) -> pyrender.Primitive:
    """Returns a part of the surroundings for pyrender, its colours multiplied by ``gain`` (N,)."""
    colors = None if gain is None else np.repeat(gain[:, None], 3, axis=1).astype(np.float32)
    return pyrender.Primitive(
        color_0=colors,
        positions=surface.vertices.astype(np.float32),
        indices=surface.faces.astype(np.uint32),
        texcoord_0=surface.texture_coordinates.astype(np.float32),
        material=_material(baseColorTexture=texture),
    )


def _texture(image: np.ndarray) -> pyrender.Texture:
    sampler = pyrender.Sampler(
        magFilter=GL_LINEAR,
        minFilter=GL_LINEAR,
        wrapS=GL_CLAMP_TO_EDGE,
        wrapT=GL_CLAMP_TO_EDGE,
    )
    return pyrender.Texture(
        source=np.ascontiguousarray(image), source_channels="RGB", sampler=sampler
    )
