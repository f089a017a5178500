"""Unlit rendering of meshes through EGL, with an orthographic camera.

OpenGL is imported here and, to list the devices, in
:mod:`rayboot.render.egl_device`. A process should create one :class:`Renderer`
and keep it: creating one costs more than a hundred views.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

# Both settings must precede the import: pyrender imports pyglet's window module, which
# fails where X11 libraries are missing.
os.environ.setdefault("PYOPENGL_PLATFORM", "egl")

import pyglet

pyglet.options["headless"] = True

# The settings above come first, so these imports cannot be at the top.
import numpy as np  # noqa: E402
import pyrender  # noqa: E402
from OpenGL.GL import GL_CLAMP_TO_EDGE, GL_LINEAR  # noqa: E402

from rayboot.render.egl_device import DeviceKind, choose_device, list_devices  # noqa: E402
from rayboot.render.scene import Backplane, Scene, TexturedMesh  # noqa: E402

__all__ = ["Renderer"]

_HALF_DEPTH_RANGE = 4000.0
"""Half of the depth range, px; a rotated backplane extends far."""

_TWO_SIDED = pyrender.RenderFlags.FLAT | pyrender.RenderFlags.SKIP_CULL_FACES
_ONE_SIDED = pyrender.RenderFlags.FLAT
"""Culls back faces, which halves the time; for closed meshes, whose front hides them."""


class Renderer:
    """Renders scenes to images of ``size`` x ``size`` pixels, frame of the crop.

    Args:
        size: width and height of the images, px.
        supersample: factor of supersampling along each axis; each pixel is the mean of its
            square. With 1 the photo's own pixels are reproduced.
        render_device: kind of device; of several GPUs each process uses one.

    Raises:
        RaybootError: EGL lists no device of that kind.
    """

    def __init__(self, size: int, supersample: int = 1, render_device: DeviceKind = "auto") -> None:
        self._size, self._supersample = size, supersample
        cuda_visible_devices = os.environ.get("CUDA_VISIBLE_DEVICES")
        device = choose_device(list_devices(), render_device, cuda_visible_devices, os.getpid())
        # pyrender accepts the choice of a device only through this variable.
        os.environ["EGL_DEVICE_ID"] = str(device.egl_index)
        # An OpenGL context belongs to the thread that created it, and Ray calls a stage
        # from a thread other than the one that constructed it.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="render")
        self._renderer = self._thread.submit(
            pyrender.OffscreenRenderer, size * supersample, size * supersample
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
        gains: Sequence[np.ndarray] | None = None,
    ) -> np.ndarray:
        """Renders one scene from several views.

        Args:
            scene: coloured or textured mesh and, optionally, a backplane.
            views: (3, 4) transforms from the scene's frame to each view's, px.
            gains: (N,) factors on the mesh's colours, one array per view. Without them the
                scene is uploaded once, with them once per view.

        Returns:
            (V, size, size, 3) uint8 sRGB.

        Raises:
            ValueError: the mesh has no colours.
        """
        return self._thread.submit(self._render, scene, views, gains).result()

    def _render(
        self, scene: Scene, views: Sequence[np.ndarray], gains: Sequence[np.ndarray] | None
    ) -> np.ndarray:
        self._scene.bg_color = np.array([*(np.asarray(scene.background) / 255.0), 1.0])
        if gains is None:
            images = self._render_views(_scene_mesh(scene), scene, views)
        else:
            images = [
                image
                for view, gain in zip(views, gains, strict=True)
                for image in self._render_views(_scene_mesh(scene, gain), scene, [view])
            ]
        return np.stack(images) if images else np.zeros((0, self._size, self._size, 3), np.uint8)

    def _render_views(
        self, mesh: pyrender.Mesh, scene: Scene, views: Sequence[np.ndarray]
    ) -> list[np.ndarray]:
        nodes = [self._scene.add(mesh)]
        if scene.backplane is not None:
            nodes.append(self._scene.add(_backplane_mesh(scene.backplane)))
        try:
            flags = _ONE_SIDED if isinstance(scene.mesh, TexturedMesh) else _TWO_SIDED
            return [self._render_view(nodes, view, flags) for view in views]
        finally:
            for node in nodes:
                self._scene.remove_node(node)

    def _render_view(self, nodes: list[pyrender.Node], view: np.ndarray, flags: int) -> np.ndarray:
        pose = np.vstack([view, [0.0, 0.0, 0.0, 1.0]])
        for node in nodes:
            self._scene.set_pose(node, pose)
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


def _scene_mesh(scene: Scene, gain: np.ndarray | None = None) -> pyrender.Mesh:
    """Returns the scene's mesh for pyrender, its colours multiplied by ``gain`` (N,)."""
    mesh = scene.mesh
    factor = np.float32(1) if gain is None else gain[:, None].astype(np.float32)
    # Built from arrays, because Mesh.from_trimesh would duplicate every vertex.
    arrays: dict[str, Any] = {
        "positions": np.asarray(mesh.vertices, np.float32),
        "indices": np.asarray(mesh.faces, np.uint32),
    }
    if isinstance(mesh, TexturedMesh):
        primitive = pyrender.Primitive(
            **arrays,
            color_0=mesh.factors * factor,
            texcoord_0=mesh.texture_coordinates,
            material=_material(baseColorTexture=_texture(mesh.image)),
        )
    elif mesh.colors is None:
        raise ValueError(
            "expected a mesh with vertex colours, got colors=None; "
            "colour it with rayboot.render.texturing.color_vertices first"
        )
    else:
        colors = np.asarray(mesh.colors, np.float32) / 255.0 * factor
        primitive = pyrender.Primitive(**arrays, color_0=colors, material=_material())
    return pyrender.Mesh([primitive])


def _backplane_mesh(plane: Backplane) -> pyrender.Mesh:
    """Returns the backplane for pyrender, as two textured triangles."""
    primitive = pyrender.Primitive(
        positions=plane.corners.astype(np.float32),
        indices=np.array([[0, 1, 2], [0, 2, 3]], np.uint32),
        texcoord_0=plane.texture_coordinates.astype(np.float32),
        material=_material(baseColorTexture=_texture(plane.image)),
    )
    return pyrender.Mesh([primitive])


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
