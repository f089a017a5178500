"""A rasterizer for figures: a mesh as the camera of its crop sees it, without a GPU.

It uses NumPy only, so that the report of an evaluation can be drawn on any machine.
"""

from typing import NamedTuple

import numpy as np

from rayboot.geometry.isosurface import vertex_normals
from rayboot.geometry.mesh import Mesh

__all__ = ["Raster", "rasterize", "shade"]

_LIGHT = np.array([-0.35, 0.4, 0.85])
"""Direction towards the light, which is above the viewer's left shoulder."""

_AMBIENT = 0.25
"""Brightness of a surface that faces away from the light."""

_MAX_CANDIDATES = 2_000_000
"""Maximum number of pairs of pixel and triangle in one step; it limits the memory."""


class Raster(NamedTuple):
    """The triangle that each of S x S pixels shows, and the barycentric position on it.

    Attributes:
        corners: (P, 3) int, vertex indices of the triangle at each covered pixel.
        weights: (P, 3) float64, barycentric weights of the corners; their sum is 1.
        pixels: (P,) int, row-major indices of the covered pixels.
        size: Width and height S of the image.
    """

    corners: np.ndarray
    weights: np.ndarray
    pixels: np.ndarray
    size: int

    @property
    def covered(self) -> np.ndarray:
        """Pixels that show the mesh, (S, S) bool."""
        mask = np.zeros(self.size**2, bool)
        mask[self.pixels] = True
        return mask.reshape(self.size, self.size)

    def interpolate(self, values: np.ndarray) -> np.ndarray:
        """Interpolates values of vertices, (N,) or (N, C), to (S, S) or (S, S, C), NaN outside."""
        values = np.asarray(values, np.float64)
        image = np.full((self.size**2, *values.shape[1:]), np.nan)
        image[self.pixels] = np.einsum("pk,pk...->p...", self.weights, values[self.corners])
        return image.reshape(self.size, self.size, *values.shape[1:])


def rasterize(mesh: Mesh, window: float, size: int) -> Raster:
    """Draws the centre of a crop on ``size`` x ``size`` pixels.

    Triangles that face away are drawn too, since a true face may be an open patch.

    Args:
        mesh: Mesh in the frame of the crop.
        window: Width of the part of the crop that is drawn, px.
        size: Width and height S of the image.
    """
    scale = size / window
    points = np.asarray(mesh.vertices, np.float64) * [scale, -scale, scale]
    points[:, :2] += (size - 1) / 2
    triangles = points[mesh.faces]
    low = np.ceil(triangles[..., :2].min(axis=1)).astype(int).clip(0)
    high = np.floor(triangles[..., :2].max(axis=1)).astype(int).clip(max=size - 1)
    width = (high - low + 1).max(axis=1)
    # Triangles that are seen edge-on cover no pixel.
    area = _cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
    drawn = np.flatnonzero((high >= low).all(axis=1) & (area != 0))
    parts = [
        _cover(triangles[part], part, low[part], high[part], edge, size)
        for edge, part in _group_by_width(drawn, width[drawn])
    ]
    if not parts:
        return Raster(np.zeros((0, 3), int), np.zeros((0, 3)), np.zeros(0, int), size)
    pixel, triangle, weights, depth = (
        np.concatenate(column) for column in zip(*parts, strict=True)
    )
    front = np.full(size**2, -np.inf)
    np.maximum.at(front, pixel, depth)
    foremost = np.flatnonzero(depth == front[pixel])
    # Where two triangles have the same depth in a pixel, the first is drawn.
    pixels, first = np.unique(pixel[foremost], return_index=True)
    chosen = foremost[first]
    return Raster(mesh.faces[triangle[chosen]], weights[chosen], pixels, size)


def _group_by_width(drawn: np.ndarray, width: np.ndarray) -> list[tuple[int, np.ndarray]]:
    """Groups triangles of similar width: edge of the bounding box and indices of each group."""
    edges = 1 << np.ceil(np.log2(np.maximum(width, 1))).astype(int)
    groups = []
    for edge in np.unique(edges):
        members = drawn[edges == edge]
        count = -(-len(members) * int(edge) ** 2 // _MAX_CANDIDATES)
        groups += [(int(edge), part) for part in np.array_split(members, max(1, count))]
    return groups


def _cover(
    triangles: np.ndarray,
    indices: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    edge: int,
    size: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Returns the pixels inside triangles (T, 3, 3), with triangle index, weights and depth."""
    a, b, c = triangles.transpose(1, 0, 2)
    area = _cross(b - a, c - a)
    steps = np.stack(np.meshgrid(np.arange(edge), np.arange(edge)), axis=-1).reshape(1, -1, 2)
    pixels = low[:, None] + steps
    second = _cross(pixels - a[:, None, :2], (c - a)[:, None]) / area[:, None]
    third = _cross((b - a)[:, None], pixels - a[:, None, :2]) / area[:, None]
    first = 1 - second - third
    # Edges belong to both neighbours, so that rounding leaves no gap between them.
    within = (first >= -1e-9) & (second >= -1e-9) & (third >= -1e-9)
    within &= (pixels[..., 0] <= high[:, None, 0]) & (pixels[..., 1] <= high[:, None, 1])
    triangle, step = np.nonzero(within)
    weights = np.stack([part[triangle, step] for part in (first, second, third)], axis=-1)
    column, row = pixels[triangle, step].T
    depth = (weights * triangles[triangle, :, 2]).sum(axis=1)
    return row * size + column, indices[triangle], weights, depth


def _cross(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    product: np.ndarray = first[..., 0] * second[..., 1] - first[..., 1] * second[..., 0]
    return product


def shade(mesh: Mesh, raster: Raster) -> np.ndarray:
    """Returns the brightness (S, S) in [0, 1] of a matt surface; NaN outside.

    The light comes from the viewer's upper left.

    Args:
        mesh: Mesh that was drawn; its triangles may have either orientation, all the same.
        raster: Raster of the mesh.
    """
    normals = raster.interpolate(vertex_normals(mesh.vertices, mesh.faces))
    # Most visible triangles face the viewer, whatever the order of their corners.
    facing = np.sign(normals[raster.covered, 2].sum()) or 1.0
    length = np.maximum(np.linalg.norm(normals, axis=-1), 1e-9)
    lambert = np.clip(facing * normals @ _LIGHT / np.linalg.norm(_LIGHT) / length, 0, 1)
    return np.asarray(_AMBIENT + (1 - _AMBIENT) * lambert)
