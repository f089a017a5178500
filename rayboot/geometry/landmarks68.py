"""The 68 landmarks in iBUG order: lifting to 3D, and the rotation of the head.

Indices count from 0: jaw 0-16 from image left to right, brows 17-26, nose 27-35,
eyes 36-47, mouth 48-67.
"""

import numpy as np
from scipy import ndimage

from rayboot.errors import DegenerateInputError, ShapeError
from rayboot.geometry.camera import SLICES_PER_PIXEL, crop_from_pixel
from rayboot.geometry.head_model import mean_landmarks

__all__ = [
    "FEATURE_DEPTH",
    "NUM_JAW",
    "OUTER_EYE_CORNERS",
    "depth_of_features",
    "interocular_distance",
    "lift_landmarks",
    "rotation_from_landmarks",
]

NUM_JAW = 17
"""Number of landmarks of the jaw, which are the first."""

FEATURE_DEPTH = 1 / 8
"""Depth at which the features of a face lie in true and in rotated volumes, as a fraction of the
crop's width; a solid then has about as much room before them as behind."""

OUTER_EYE_CORNERS = (36, 45)
"""Indices of the outer eye corners: image left, image right."""


def interocular_distance(landmarks: np.ndarray) -> float:
    """Returns the distance between the outer eye corners, in the landmarks' unit.

    Args:
        landmarks: (68, 2) or (68, 3).
    """
    left, right = OUTER_EYE_CORNERS
    return float(np.linalg.norm(landmarks[left] - landmarks[right]))


def depth_of_features(landmarks: np.ndarray) -> float:
    """Returns the mean z of brows, nose, eyes and mouth, in the landmarks' unit.

    One photo leaves the depth of a face unknown. Unlike the extent of a solid, which depends on
    where its back is, these points are seen, so a shape that is placed by them has its depth where
    a network can know it.

    Args:
        landmarks: (68, 3).
    """
    return float(landmarks[NUM_JAW:, 2].mean())


def lift_landmarks(landmarks: np.ndarray, occupied: np.ndarray) -> np.ndarray:
    """Returns the landmarks of a crop lifted to the front surface of the solid.

    A landmark outside the silhouette, as those of the jaw often are, gets the
    depth of the nearest covered pixel.

    Args:
        landmarks: (68, 2), column and row of the crop.
        occupied: (D, H, W) bool.

    Returns:
        (68, 3) float64, px, frame of the crop.

    Raises:
        DegenerateInputError: no voxel is occupied.
    """
    depth, height, width = occupied.shape
    covered = occupied.any(axis=0)
    if not covered.any():
        raise DegenerateInputError("the volume is empty, so no landmark can be lifted to its front")
    nearest = ndimage.distance_transform_edt(~covered, return_distances=False, return_indices=True)
    columns = np.clip(np.rint(landmarks[:, 0]).astype(int), 0, width - 1)
    rows = np.clip(np.rint(landmarks[:, 1]).astype(int), 0, height - 1)
    row, column = nearest[:, rows, columns]
    front = depth - 1 - np.argmax(occupied[::-1, row, column], axis=0)
    z = (front - (depth - 1) / 2) / SLICES_PER_PIXEL
    return np.column_stack([crop_from_pixel(landmarks, width, height), z])


def rotation_from_landmarks(landmarks: np.ndarray) -> np.ndarray:
    """Returns the rotation of the head under a scaled orthographic camera.

    It is accurate to about 5 degrees of yaw, because expression and identity
    differ from the mean face's.

    Args:
        landmarks: (68, 2), column and row, in pixels of the photo or of a crop.

    Returns:
        (3, 3) float64, from the mean head's frame to the photo's pose; its third
        column is the gaze.

    Raises:
        ShapeError: the landmarks are not (68, 2).
        DegenerateInputError: the points lie on one line.

    Source:
        The first step of POSIT, DeMenthon and Davis, IJCV 15, 1995.
    """
    landmarks = np.asarray(landmarks, np.float64)
    if landmarks.shape != (68, 2):
        raise ShapeError(f"expected 68 landmarks (68, 2), got {landmarks.shape}")
    model = mean_landmarks() - mean_landmarks().mean(axis=0)
    image = (landmarks - landmarks.mean(axis=0)) * (1.0, -1.0)
    rows = np.linalg.lstsq(model, image, rcond=None)[0].T
    u, singular, vt = np.linalg.svd(rows, full_matrices=False)
    if singular[1] <= 1e-9 * max(singular[0], 1e-300):
        raise DegenerateInputError(
            "the landmarks lie on one line, which does not determine a rotation; "
            "check the landmark file"
        )
    x_axis, y_axis = u @ vt
    return np.stack([x_axis, y_axis, np.cross(x_axis, y_axis)])
