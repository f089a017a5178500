"""Simple surfaces such as tubes and discs, and their colours under the light of a photo."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from rayboot.geometry.isosurface import vertex_normals
from rayboot.geometry.mesh import Mesh
from rayboot.synthesis.sampling import Lighting

__all__ = [
    "Surface",
    "build_sheet",
    "build_tube",
    "join_surfaces",
    "light_surface",
    "merge_meshes",
    "unit_vectors",
]


class Surface(NamedTuple):
    """A surface in the head's frame.

    Attributes:
        vertices: (N, 3) float64, outer eye distances.
        faces: (F, 3) int, counter-clockwise seen from outside.
        colors: (N, 3) float64, reflectance from 0 to 1.
        gloss: strength of specular reflections.
    """

    vertices: np.ndarray
    faces: np.ndarray
    colors: np.ndarray
    gloss: float = 0.0


def build_sheet(points: np.ndarray, colors: np.ndarray, gloss: float = 0.0) -> Surface:
    """Returns the surface that connects rows of points.

    Args:
        points: (R, C, 3); seen from outside, columns run to the right where rows run upward.
        colors: reflectance, which broadcasts to ``points``.
        gloss: strength of specular reflections.
    """
    index = np.arange(points.shape[0] * points.shape[1]).reshape(points.shape[:2])
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]
    faces = np.concatenate(
        [np.stack(corners, -1).reshape(-1, 3) for corners in ([a, b, c], [a, c, d])]
    )
    spread = np.broadcast_to(colors, points.shape).reshape(-1, 3)
    return Surface(points.reshape(-1, 3).astype(np.float64), faces, spread, gloss)


def build_tube(
    path: np.ndarray, radius: np.ndarray | float, color: np.ndarray, gloss: float = 0.0
) -> Surface:
    """Returns a tube of six sides along a path, whose ends are open.

    Args:
        path: (P, 3) points, the first repeated at the end where the tube is a ring.
        radius: (P,) or one number.
        color: (3,) reflectance.
        gloss: strength of specular reflections.
    """
    is_ring = np.allclose(path[0], path[-1])
    extended = np.concatenate(
        [path[-2:-1], path, path[1:2]]
        if is_ring
        else [2 * path[:1] - path[1:2], path, 2 * path[-1:] - path[-2:-1]]
    )
    along = unit_vectors(extended[2:] - extended[:-2])
    # The axis that is most nearly perpendicular to the whole path.
    axis = np.eye(3)[np.abs(along).mean(axis=0).argmin()]
    first = unit_vectors(np.cross(along, axis))
    second = np.cross(along, first)
    angle = np.linspace(0, 2 * np.pi, 7)[None, :, None]
    spokes = np.cos(angle) * first[:, None] + np.sin(angle) * second[:, None]
    thickness = np.broadcast_to(np.asarray(radius, np.float64), (len(path),))
    return build_sheet(path[:, None] + thickness[:, None, None] * spokes, color, gloss)


def join_surfaces(surfaces: Sequence[Surface]) -> Surface:
    """Returns one surface of several, with the gloss of the first."""
    offsets = np.cumsum([0, *(len(surface.vertices) for surface in surfaces)])[:-1]
    faces = [surface.faces + offset for surface, offset in zip(surfaces, offsets, strict=True)]
    return Surface(
        np.concatenate([surface.vertices for surface in surfaces]),
        np.concatenate(faces),
        np.concatenate([surface.colors for surface in surfaces]),
        surfaces[0].gloss,
    )


def light_surface(surface: Surface, lighting: Lighting, photo_from_head: np.ndarray) -> Mesh:
    """Returns a surface in the photo's frame, coloured as both of its sides appear in the light.

    Args:
        surface: surface in the head's frame.
        lighting: light of the scene.
        photo_from_head: (3, 4), from the head's frame to the photo's, px.
    """
    vertices = surface.vertices @ photo_from_head[:, :3].T + photo_from_head[:, 3]
    normals = vertex_normals(vertices, surface.faces)
    normals = normals * np.where(normals[:, 2:] < 0, -1.0, 1.0)
    # Less light comes from below than from above.
    shade = lighting.ambient * (0.85 + 0.15 * normals[:, 1:2])
    for light in lighting.lights:
        shade = shade + np.clip(normals @ light.direction, 0, None)[:, None] * light.color
    half = unit_vectors(lighting.lights[0].direction + np.array([0.0, 0.0, 1.0]))
    shine = surface.gloss * np.clip(normals @ half, 0, 1) ** 16
    colors = np.clip(255 * (surface.colors * shade + shine[:, None]), 0, 255)
    return Mesh(
        vertices.astype(np.float32), surface.faces.astype(np.int32), colors.astype(np.uint8)
    )


def merge_meshes(meshes: Sequence[Mesh]) -> Mesh:
    """Returns one mesh of several that have colours."""
    offsets = np.cumsum([0, *(len(mesh.vertices) for mesh in meshes)])[:-1]
    faces = [mesh.faces + offset for mesh, offset in zip(meshes, offsets, strict=True)]
    return Mesh(
        np.concatenate([mesh.vertices for mesh in meshes]).astype(np.float32),
        np.concatenate(faces).astype(np.int32),
        np.concatenate([mesh.colors for mesh in meshes if mesh.colors is not None]),
    )


def unit_vectors(vectors: np.ndarray) -> np.ndarray:
    """Returns vectors (..., D) of length 1; those of length 0 stay so."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1e-9))
