"""Meshes to images through EGL, unlit, with an orthographic camera.

The only module that imports OpenGL. One :class:`Renderer` a process, kept for
the process's life: making one costs more than a hundred views.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

# Both must stand before the import: pyrender opens pyglet's window module, which
# fails where X11 libraries are missing.
os.environ.setdefault("PYOPENGL_PLATFORM", "egl")

import pyglet

pyglet.options["headless"] = True

import numpy as np  # noqa: E402
import pyrender  # noqa: E402
from OpenGL.GL import GL_CLAMP_TO_EDGE, GL_LINEAR  # noqa: E402

from rayboot.render.egl_device import DeviceKind, choose_device, list_devices  # noqa: E402
from rayboot.render.scene import Backplane, Scene, TexturedMesh  # noqa: E402

__all__ = ["Renderer"]

_CLIP = 4000.0
"""Half of the depth range, px; a turned backplane reaches far."""

_TWO_SIDED = pyrender.RenderFlags.FLAT | pyrender.RenderFlags.SKIP_CULL_FACES
_ONE_SIDED = pyrender.RenderFlags.FLAT
"""Half of the time, for a closed mesh: no triangle is set up that another one hides."""


class Renderer:
    """Draws scenes of ``size`` x ``size`` pixels, frame of the crop.

    Args:
        size: width and height of the images, px.
        supersample: each pixel is the mean of this many squared; 1 keeps the
            photo's own pixels.
        render_device: kind of device; of several GPUs each process takes one.

    Raises:
        RaybootError: EGL has no device of that kind.
    """

    def __init__(self, size: int, supersample: int = 1, render_device: DeviceKind = "auto") -> None:
        self._size, self._supersample = size, supersample
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        device = choose_device(list_devices(), render_device, visible, os.getpid())
        # pyrender's only way to be told.
        os.environ["EGL_DEVICE_ID"] = str(device.place)
        # An OpenGL context belongs to the thread that made it, and Ray calls a stage
        # from a thread other than the one that constructed it.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="render")
        self._renderer = self._thread.submit(
            pyrender.OffscreenRenderer, size * supersample, size * supersample
        ).result()
        self._scene = pyrender.Scene()
        camera = pyrender.OrthographicCamera(size / 2, size / 2, znear=1.0, zfar=2 * _CLIP)
        pose = np.eye(4)
        pose[2, 3] = _CLIP
        self._scene.add(camera, pose=pose)

    def render(
        self,
        scene: Scene,
        views: Sequence[np.ndarray],
        gains: Sequence[np.ndarray] | None = None,
    ) -> np.ndarray:
        """Draws one scene from several views.

        Args:
            scene: mesh with colours and, where wanted, a backplane.
            views: (3, 4) transforms from the scene's frame to each view's, px.
            gains: (N,) factors on the mesh's colours for each view. Without them the scene is
                uploaded once, with them once a view.

        Returns:
            (V, size, size, 3) uint8 sRGB.
        """
        return self._thread.submit(self._render, scene, views, gains).result()

    def _render(
        self, scene: Scene, views: Sequence[np.ndarray], gains: Sequence[np.ndarray] | None
    ) -> np.ndarray:
        self._scene.bg_color = np.array([*(np.asarray(scene.background) / 255.0), 1.0])
        if gains is None:
            images = self._draw_all(_mesh_of(scene), scene, views)
        else:
            images = [
                image
                for view, gain in zip(views, gains, strict=True)
                for image in self._draw_all(_mesh_of(scene, gain), scene, [view])
            ]
        return np.stack(images) if images else np.zeros((0, self._size, self._size, 3), np.uint8)

    def _draw_all(
        self, mesh: pyrender.Mesh, scene: Scene, views: Sequence[np.ndarray]
    ) -> list[np.ndarray]:
        nodes = [self._scene.add(mesh)]
        if scene.backplane is not None:
            nodes.append(self._scene.add(_plane_of(scene.backplane)))
        try:
            flags = _ONE_SIDED if isinstance(scene.mesh, TexturedMesh) else _TWO_SIDED
            return [self._draw(nodes, view, flags) for view in views]
        finally:
            for node in nodes:
                self._scene.remove_node(node)

    def _draw(self, nodes: list[pyrender.Node], view: np.ndarray, flags: int) -> np.ndarray:
        pose = np.vstack([view, [0.0, 0.0, 0.0, 1.0]])
        for node in nodes:
            self._scene.set_pose(node, pose)
        color, _ = self._renderer.render(self._scene, flags=flags)
        factor = self._supersample
        if factor == 1:
            return color.copy()
        blocks = color.reshape(self._size, factor, self._size, factor, 3).astype(np.uint16)
        return ((blocks.sum(axis=(1, 3)) + factor**2 // 2) // factor**2).astype(np.uint8)


# Whole numbers would be read as bytes: 1 of 255.
def _material(**texture: pyrender.Texture) -> pyrender.MetallicRoughnessMaterial:
    return pyrender.MetallicRoughnessMaterial(baseColorFactor=(1.0, 1.0, 1.0, 1.0), **texture)


def _mesh_of(scene: Scene, gain: np.ndarray | None = None) -> pyrender.Mesh:
    mesh = scene.mesh
    factor = np.float32(1) if gain is None else gain[:, None].astype(np.float32)
    # Built from arrays: Mesh.from_trimesh would duplicate every vertex.
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
        raise ValueError("a mesh is drawn with colours; paint it with render.colors first")
    else:
        colors = np.asarray(mesh.colors, np.float32) / 255.0 * factor
        primitive = pyrender.Primitive(**arrays, color_0=colors, material=_material())
    return pyrender.Mesh([primitive])


def _plane_of(plane: Backplane) -> pyrender.Mesh:
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
