"""Where a solid covers the picture, and how far inside its outline a point lies."""

import cv2
import numpy as np

from rayboot.geometry.camera import pixel_from_crop

__all__ = ["distance_inside", "silhouette"]


def silhouette(vertices: np.ndarray, size: int, margin: int = 0) -> np.ndarray:
    """Pixels (size, size) bool that the solid covers, grown by ``margin`` px."""
    columns = np.clip(np.rint(vertices[:, 0] + (size - 1) / 2).astype(int), 0, size - 1)
    rows = np.clip(np.rint((size - 1) / 2 - vertices[:, 1]).astype(int), 0, size - 1)
    mask: np.ndarray = np.zeros((size, size), np.uint8)
    mask[rows, columns] = 1
    diameter = 2 * margin + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (diameter, diameter))
    # Vertices are dense on the surface, so closing leaves no holes inside.
    mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
    return cv2.dilate(mask, kernel).astype(bool)


def distance_inside(vertices: np.ndarray, size: int) -> np.ndarray:
    """Distance (N,) in px of each vertex's x, y from the outline of all of them; 0 outside."""
    mask = silhouette(vertices, size).astype(np.uint8)
    # A frame of one pixel: what leaves the picture ends at its edge.
    distance = cv2.distanceTransform(np.pad(mask, 1), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    # Counted from the first pixel outside; the outline runs half a pixel before it.
    distance = np.maximum(distance - 0.5, 0)
    columns, rows = np.rint(pixel_from_crop(vertices, size, size)).astype(int).T
    return distance[np.clip(rows + 1, 0, size + 1), np.clip(columns + 1, 0, size + 1)]
