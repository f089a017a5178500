"""What the camera of the crop saw of a solid: its outline, and which vertices.

Both are asked on a grid of about 96 x 96 cells, whatever the crop's size: as
fine as the meshes that are drawn, so that their vertices leave no holes in it.
"""

from typing import NamedTuple

import cv2
import numpy as np

from rayboot.geometry.camera import pixel_from_crop
from rayboot.geometry.isosurface import vertex_normals
from rayboot.geometry.mesh import Mesh

__all__ = ["Visibility", "cell_size", "compute_visibility", "silhouette"]

_CELLS = 96

_DEPTH_TOLERANCE = 1.5
"""A vertex this far (cells) behind the foremost one of its cell still counts as seen."""

_MIN_FACING = 0.25
"""A vertex counts as seen where its normal is within 75 degrees of the camera;
more oblique ones show a streak of the silhouette's mixed colours."""


def cell_size(size: int) -> int:
    """Pixels of a crop of ``size`` px to a cell: 1 at 96 px, 2 at 192."""
    return max(1, size // _CELLS)


class Visibility(NamedTuple):
    """A solid as the camera of the crop saw it.

    Attributes:
        seen: (N,) bool, vertices in front and at a useful angle.
        pixels: (S, S) bool, where one of them shows.
        inside: (S, S) float32, distance to the outline, cells; 0 outside of it.
        front: (S / cell, S / cell) float32, z of the foremost vertex, px; -inf for none.
        normals: (N, 3) of the vertices.
    """

    seen: np.ndarray
    pixels: np.ndarray
    inside: np.ndarray
    front: np.ndarray
    normals: np.ndarray

    def depth(self, points: np.ndarray) -> np.ndarray:
        """How far (N,) points lie behind the front, cells; inf where there is none."""
        size = len(self.inside)
        row, column, within = _cells(points, size)
        front = np.where(within, self.front[row, column], np.inf)
        return np.where(np.isneginf(front), np.inf, front - points[:, 2]) / cell_size(size)

    def is_visible(self, points: np.ndarray, normals: np.ndarray, reach: float) -> np.ndarray:
        """Which points (N, 3) lie within ``reach`` cells of the front, facing the camera."""
        return (np.abs(self.depth(points)) < reach) & (normals[:, 2] > _MIN_FACING)


def compute_visibility(mesh: Mesh, size: int) -> Visibility:
    """A mesh as the camera of a crop of ``size`` px saw it."""
    cell = cell_size(size)
    row, column, within = _cells(mesh.vertices, size)
    count = -(-size // cell)
    front = np.full((count, count), -np.inf, np.float32)
    np.maximum.at(front, (row, column), mesh.vertices[:, 2])
    normals = vertex_normals(mesh.vertices, mesh.faces)
    near = mesh.vertices[:, 2] > front[row, column] - _DEPTH_TOLERANCE * cell
    seen = within & near & (normals[:, 2] > _MIN_FACING)
    return Visibility(
        seen,
        _enlarge(_mask(mesh.vertices[seen], size), size).astype(bool),
        _distance_inside(_mask(mesh.vertices, size), size),
        front,
        normals,
    )


def silhouette(vertices: np.ndarray, size: int, margin: int = 0) -> np.ndarray:
    """Pixels (size, size) bool that the solid covers, grown by ``margin`` px."""
    mask = _enlarge(_mask(vertices, size), size)
    diameter = 2 * margin + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (diameter, diameter))
    return cv2.dilate(mask, kernel).astype(bool)


def _cells(points: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Row and column of each point's cell, cut to the picture, and whether it lies in it."""
    pixels = np.rint(pixel_from_crop(points, size, size)).astype(int)
    within = ((pixels >= 0) & (pixels < size)).all(axis=1)
    column, row = np.clip(pixels, 0, size - 1).T // cell_size(size)
    return row, column, within


def _mask(vertices: np.ndarray, size: int) -> np.ndarray:
    """Cells (uint8) that the vertices cover, those between them as well."""
    count = -(-size // cell_size(size))
    mask: np.ndarray = np.zeros((count, count), np.uint8)
    row, column, _ = _cells(vertices, size)
    mask[row, column] = 1
    # Vertices are dense on the surface, so closing leaves no holes inside.
    return cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))


def _enlarge(cells: np.ndarray, size: int) -> np.ndarray:
    cell = cell_size(size)
    return np.ascontiguousarray(np.kron(cells, np.ones((cell, cell), np.uint8))[:size, :size])


def _distance_inside(mask: np.ndarray, size: int) -> np.ndarray:
    """Distance (size, size) of every pixel from the outline of ``mask``, cells."""
    # A frame of one cell: what leaves the picture ends at its edge.
    distance = cv2.distanceTransform(np.pad(mask, 1), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[
        1:-1, 1:-1
    ]
    # Counted from the first cell outside; the outline runs half a cell before it.
    distance = np.maximum(distance - 0.5, 0)
    cell = cell_size(size)
    width = len(mask) * cell
    return cv2.resize(distance, (width, width), interpolation=cv2.INTER_LINEAR)[:size, :size]
