"""What one rendering process does; it does not import torch, as the pipeline's renderers."""

import time
from typing import Any

import numpy as np
import trimesh

from rayboot.geometry.camera import rotation_yaw_pitch
from rayboot.geometry.mesh import Mesh
from rayboot.render import Renderer, Scene

__all__ = ["BARRIER_TIMEOUT_S", "SIZE", "WINDOW_S", "create_scene", "render_for_a_while"]

SIZE = 192
"""Width and height of the views, px."""

WINDOW_S = 2.0
"""Duration of a measurement."""

_YAWS_DEG = (-60, -40, -20, 20, 40, 60)
BARRIER_TIMEOUT_S = 30.0
"""Time within which all processes must be ready."""


def create_scene() -> tuple[Scene, list[np.ndarray]]:
    """Returns a coloured ellipsoid with the triangles of a face, and its views."""
    sphere = trimesh.creation.icosphere(subdivisions=5)
    vertices = (sphere.vertices * [55, 75, 60]).astype(np.float32)
    colors = ((sphere.vertices + 1) * 127).astype(np.uint8)
    mesh = Mesh(vertices, sphere.faces.astype(np.int32), colors)
    turns = [rotation_yaw_pitch(np.radians(yaw), 0.0) for yaw in _YAWS_DEG]
    return Scene(mesh), [np.column_stack([turn, np.zeros(3)]) for turn in turns]


def render_for_a_while(barrier: Any) -> tuple[float, str]:
    """Returns this process's views per second, and the device that it renders on.

    Args:
        barrier: barrier of all processes and of the one that started them, which begin together.
    """
    renderer = Renderer(SIZE)
    scene, views = create_scene()
    renderer.render(scene, views)
    barrier.wait(BARRIER_TIMEOUT_S)
    started, count = time.perf_counter(), 0
    while time.perf_counter() - started < WINDOW_S:
        count += len(renderer.render(scene, views))
    kind = "software" if renderer.device.software else "gpu"
    return count / (time.perf_counter() - started), f"{renderer.device.egl_index} ({kind})"
