"""Visibility of a solid to the camera of the crop: its silhouette and its visible vertices.

Both are computed on a grid of about 96 x 96 cells, whatever the crop's size: that
is as fine as the meshes that are rendered, so their vertices leave no holes in it.
"""

from typing import NamedTuple

import cv2
import numpy as np

from rayboot.geometry.camera import pixel_from_crop
from rayboot.geometry.isosurface import vertex_normals
from rayboot.geometry.mesh import Mesh

__all__ = ["Visibility", "cell_size", "compute_visibility", "silhouette_mask"]

_GRID_SIZE = 96

_DEPTH_TOLERANCE = 1.5
"""Distance (cells) behind the foremost vertex of its cell up to which a vertex is visible."""

_MIN_NORMAL_Z = 0.25
"""Smallest z of a visible vertex's normal, which is within 75 degrees of the camera's axis; more
oblique vertices would show a streak of the silhouette's mixed colours."""


def cell_size(size: int) -> int:
    """Returns the width in pixels of a grid cell of a crop: 1 for 96 px, 2 for 192.

    Args:
        size: width and height of the crop, px.
    """
    return max(1, size // _GRID_SIZE)


class Visibility(NamedTuple):
    """What the camera of the crop sees of a solid.

    Attributes:
        visible: (N,) bool, vertices that are in front and not too oblique.
        visible_pixels: (S, S) bool, pixels whose cell contains a visible vertex, without holes.
        outline_distance: (S, S) float32, distance to the outline, cells; 0 outside of it.
        front_z: (S / cell, S / cell) float32, z of the foremost vertex, px; -inf for none.
        normals: (N, 3) unit normals of the vertices.
    """

    visible: np.ndarray
    visible_pixels: np.ndarray
    outline_distance: np.ndarray
    front_z: np.ndarray
    normals: np.ndarray

    def depth_behind_front(self, points: np.ndarray) -> np.ndarray:
        """Returns the depth (N,) of points behind the front, cells; inf where there is no front."""
        size = len(self.outline_distance)
        row, column, within = _cell_indices(points, size)
        front_z = np.where(within, self.front_z[row, column], np.inf)
        depth = np.where(np.isneginf(front_z), np.inf, front_z - points[:, 2])
        return depth / cell_size(size)

    def is_visible(
        self, points: np.ndarray, normals: np.ndarray, max_distance: float
    ) -> np.ndarray:
        """Returns which points face the camera and are close to the front.

        Args:
            points: (N, 3) px, crop frame.
            normals: (N, 3) unit normals of the points.
            max_distance: largest distance from the front, cells.

        Returns:
            (N,) bool.
        """
        near = np.abs(self.depth_behind_front(points)) < max_distance
        return np.asarray(near & (normals[:, 2] > _MIN_NORMAL_Z))


def compute_visibility(mesh: Mesh, size: int) -> Visibility:
    """Returns the visibility of a mesh to the camera of a crop of ``size`` px."""
    cell = cell_size(size)
    row, column, within = _cell_indices(mesh.vertices, size)
    count = -(-size // cell)
    front_z = np.full((count, count), -np.inf, np.float32)
    np.maximum.at(front_z, (row, column), mesh.vertices[:, 2])
    normals = vertex_normals(mesh.vertices, mesh.faces)
    near = mesh.vertices[:, 2] > front_z[row, column] - _DEPTH_TOLERANCE * cell
    visible = within & near & (normals[:, 2] > _MIN_NORMAL_Z)
    return Visibility(
        visible,
        _upsample(_cell_mask(mesh.vertices[visible], size), size).astype(bool),
        _outline_distance(_cell_mask(mesh.vertices, size), size),
        front_z,
        normals,
    )


def silhouette_mask(vertices: np.ndarray, size: int, margin: int = 0) -> np.ndarray:
    """Returns the pixels (size, size) bool that a solid covers.

    Args:
        vertices: (N, 3) vertices of the solid, px, crop frame.
        size: width and height of the crop, px.
        margin: radius by which the silhouette is dilated, px.
    """
    mask = _upsample(_cell_mask(vertices, size), size)
    diameter = 2 * margin + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (diameter, diameter))
    return cv2.dilate(mask, kernel).astype(bool)


def _cell_indices(points: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the row and column of each point's cell, and whether the point is in the image.

    Indices of points outside are clipped to the image.
    """
    pixels = np.rint(pixel_from_crop(points, size, size)).astype(int)
    within = ((pixels >= 0) & (pixels < size)).all(axis=1)
    column, row = np.clip(pixels, 0, size - 1).T // cell_size(size)
    return row, column, within


def _cell_mask(vertices: np.ndarray, size: int) -> np.ndarray:
    """Returns the cells (uint8) that the vertices cover, gaps between them included."""
    count = -(-size // cell_size(size))
    mask: np.ndarray = np.zeros((count, count), np.uint8)
    row, column, _ = _cell_indices(vertices, size)
    mask[row, column] = 1
    # Vertices are dense on the surface, so a morphological closing leaves no holes inside.
    return cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))


def _upsample(cells: np.ndarray, size: int) -> np.ndarray:
    """Returns a mask of cells as one of pixels (size, size)."""
    cell = cell_size(size)
    return np.ascontiguousarray(np.kron(cells, np.ones((cell, cell), np.uint8))[:size, :size])


def _outline_distance(mask: np.ndarray, size: int) -> np.ndarray:
    """Returns the distance (size, size) of every pixel from the outline of ``mask``, cells."""
    # A frame of one cell makes solids that leave the image end at its edge.
    distance = cv2.distanceTransform(np.pad(mask, 1), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[
        1:-1, 1:-1
    ]
    # OpenCV counts from the first cell outside; the outline is half a cell before it.
    distance = np.maximum(distance - 0.5, 0)
    cell = cell_size(size)
    width = len(mask) * cell
    upsampled = cv2.resize(distance, (width, width), interpolation=cv2.INTER_LINEAR)
    return np.asarray(upsampled[:size, :size])
