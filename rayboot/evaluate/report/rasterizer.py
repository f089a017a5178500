"""A mesh as the camera of its crop sees it, pixel by pixel, without a GPU.

For pictures on a page: NumPy alone, so that an evaluation can be drawn on any machine.
"""

from typing import NamedTuple

import numpy as np

from rayboot.geometry.isosurface import vertex_normals
from rayboot.geometry.mesh import Mesh

__all__ = ["Raster", "rasterize", "shade"]

_LIGHT = np.array([-0.35, 0.4, 0.85])
"""Towards the light: from above the viewer's left shoulder."""

_AMBIENT = 0.25
_MAX_CELLS = 2_000_000
"""Pixels looked at in one go; bounds the memory."""


class Raster(NamedTuple):
    """Which triangle each of S x S pixels shows, and where on it.

    Attributes:
        corners: (P, 3) int, vertices of the triangle at each covered pixel.
        weights: (P, 3) float64, their shares there; of sum 1.
        pixels: (P,) int, places of the covered pixels, row by row.
        size: S.
    """

    corners: np.ndarray
    weights: np.ndarray
    pixels: np.ndarray
    size: int

    @property
    def covered(self) -> np.ndarray:
        """Pixels (S, S) bool that show the mesh."""
        mask = np.zeros(self.size**2, bool)
        mask[self.pixels] = True
        return mask.reshape(self.size, self.size)

    def spread(self, values: np.ndarray) -> np.ndarray:
        """Values of vertices, (N,) or (N, C), over the pixels; (S, S) or (S, S, C), NaN outside."""
        values = np.asarray(values, np.float64)
        picture = np.full((self.size**2, *values.shape[1:]), np.nan)
        picture[self.pixels] = np.einsum("pk,pk...->p...", self.weights, values[self.corners])
        return picture.reshape(self.size, self.size, *values.shape[1:])


def rasterize(mesh: Mesh, window: float, size: int) -> Raster:
    """The middle of a crop, drawn on ``size`` x ``size`` pixels.

    Triangles that face away are drawn too: a truth may be an open patch.

    Args:
        mesh: in the frame of the crop.
        window: width of the part of the crop that is drawn, px.
        size: S, of the picture.
    """
    scale = size / window
    points = np.asarray(mesh.vertices, np.float64) * [scale, -scale, scale]
    points[:, :2] += (size - 1) / 2
    triangles = points[mesh.faces]
    low = np.ceil(triangles[..., :2].min(axis=1)).astype(int).clip(0)
    high = np.floor(triangles[..., :2].max(axis=1)).astype(int).clip(max=size - 1)
    width = (high - low + 1).max(axis=1)
    # What is seen edge-on covers nothing.
    area = _cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
    drawn = np.flatnonzero((high >= low).all(axis=1) & (area != 0))
    found = [
        _inside(triangles[part], part, low[part], high[part], edge, size)
        for edge, part in _by_width(drawn, width[drawn])
    ]
    if not found:
        return Raster(np.zeros((0, 3), int), np.zeros((0, 3)), np.zeros(0, int), size)
    pixel, triangle, weights, depth = (
        np.concatenate(column) for column in zip(*found, strict=True)
    )
    front = np.full(size**2, -np.inf)
    np.maximum.at(front, pixel, depth)
    foremost = np.flatnonzero(depth == front[pixel])
    # Where two triangles meet in one pixel at one depth, either will do.
    pixels, first = np.unique(pixel[foremost], return_index=True)
    chosen = foremost[first]
    return Raster(mesh.faces[triangle[chosen]], weights[chosen], pixels, size)


def _by_width(drawn: np.ndarray, width: np.ndarray) -> list[tuple[int, np.ndarray]]:
    """Triangles in groups of about one width, each small enough: edge of its box, indices."""
    edges = 1 << np.ceil(np.log2(np.maximum(width, 1))).astype(int)
    groups = []
    for edge in np.unique(edges):
        members = drawn[edges == edge]
        count = -(-len(members) * int(edge) ** 2 // _MAX_CELLS)
        groups += [(int(edge), part) for part in np.array_split(members, max(1, count))]
    return groups


def _inside(
    triangles: np.ndarray,
    indices: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    edge: int,
    size: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Pixels in triangles (T, 3, 3): place, triangle, weights of its corners and depth."""
    a, b, c = triangles.transpose(1, 0, 2)
    area = _cross(b - a, c - a)
    steps = np.stack(np.meshgrid(np.arange(edge), np.arange(edge)), axis=-1).reshape(1, -1, 2)
    at = low[:, None] + steps
    second = _cross(at - a[:, None, :2], (c - a)[:, None]) / area[:, None]
    third = _cross((b - a)[:, None], at - a[:, None, :2]) / area[:, None]
    weights = np.stack([1 - second - third, second, third], axis=-1)
    # Edges belong to both neighbours, so that rounding leaves no hole between them.
    within = (weights >= -1e-9).all(axis=-1) & (at <= high[:, None]).all(axis=-1)
    triangle, place = np.nonzero(within)
    shares = weights[triangle, place]
    column, row = at[triangle, place].T
    depth = (shares * triangles[triangle, :, 2]).sum(axis=1)
    return row * size + column, indices[triangle], shares, depth


def _cross(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return first[..., 0] * second[..., 1] - first[..., 1] * second[..., 0]


def shade(mesh: Mesh, raster: Raster) -> np.ndarray:
    """Brightness (S, S) in [0, 1] of a matt surface lit from the viewer's upper left; NaN outside.

    Args:
        mesh: that was drawn; its triangles may lie either way round, all alike.
        raster: of it.
    """
    normals = raster.spread(vertex_normals(mesh.vertices, mesh.faces))
    # Most of what is seen faces the viewer, however corners are ordered.
    facing = np.sign(normals[raster.covered, 2].sum()) or 1.0
    length = np.maximum(np.linalg.norm(normals, axis=-1), 1e-9)
    lambert = np.clip(facing * normals @ _LIGHT / np.linalg.norm(_LIGHT) / length, 0, 1)
    return _AMBIENT + (1 - _AMBIENT) * lambert
