"""The 68 landmarks in iBUG order: names of indices, lifting, yaw.

Indices count from 0: jaw 0-16 from image left to right, brows 17-26, nose 27-35,
eyes 36-47, mouth 48-67.
"""

import numpy as np
from scipy import ndimage

from rayboot.errors import DegenerateInputError, ShapeError
from rayboot.geometry.camera import SLICES_PER_PIXEL, crop_from_pixel
from rayboot.geometry.mean_face import mean_face
from rayboot.geometry.pose import FacePose

__all__ = [
    "OUTER_EYE_CORNERS",
    "fit_mean_landmarks",
    "head_rotation",
    "interocular_distance",
    "lift_landmarks",
]

OUTER_EYE_CORNERS = (36, 45)


def interocular_distance(landmarks: np.ndarray) -> float:
    """Distance of the outer eye corners in (68, 2 or 3), in the landmarks' unit."""
    left, right = OUTER_EYE_CORNERS
    return float(np.linalg.norm(landmarks[left] - landmarks[right]))


def lift_landmarks(landmarks: np.ndarray, occupied: np.ndarray) -> np.ndarray:
    """Landmarks of the crop lifted to the front of the solid.

    A landmark beside the silhouette (the jaw often is) takes the depth of the
    nearest covered pixel.

    Args:
        landmarks: (68, 2), column and row of the crop.
        occupied: (D, H, W) bool.

    Returns:
        (68, 3) float64, px, frame of the crop.

    Raises:
        DegenerateInputError: nothing is occupied.
    """
    depth, height, width = occupied.shape
    covered = occupied.any(axis=0)
    if not covered.any():
        raise DegenerateInputError("the solid covers no pixel, so no landmark can be lifted")
    nearest = ndimage.distance_transform_edt(~covered, return_distances=False, return_indices=True)
    columns = np.clip(np.rint(landmarks[:, 0]).astype(int), 0, width - 1)
    rows = np.clip(np.rint(landmarks[:, 1]).astype(int), 0, height - 1)
    row, column = nearest[:, rows, columns]
    front = depth - 1 - np.argmax(occupied[::-1, row, column], axis=0)
    z = (front - (depth - 1) / 2) / SLICES_PER_PIXEL
    return np.column_stack([crop_from_pixel(landmarks, width, height), z])


def fit_mean_landmarks(pose: FacePose) -> np.ndarray:
    """The mean face's 68 landmarks as they lie on a solid, for photos that come without.

    Args:
        pose: of the solid, refined.

    Returns:
        (68, 3) float64, px, frame of the crop.

    Raises:
        DegenerateInputError: the pose is of the covariance alone.
    """
    if pose.mean_face is None:
        raise DegenerateInputError("no mean face lies on the solid; estimate a refined pose")
    return pose.mean_face.apply(mean_face().landmarks)


def head_rotation(landmarks: np.ndarray) -> np.ndarray:
    """Rotation of the head from 68 points of a photo, as a scaled orthographic camera sees it.

    Args:
        landmarks: (68, 2), column and row, in pixels of the photo or of a crop.

    Returns:
        (3, 3) float64, carries the frontal mean face onto the photo's pose. Its
        third column is the gaze. Good to about 5 degrees of yaw (expression and
        identity differ from the mean face's).

    Raises:
        ShapeError: not (68, 2).
        DegenerateInputError: the points lie on a line.

    Source:
        The first step of POSIT, DeMenthon and Davis, IJCV 15, 1995.
    """
    landmarks = np.asarray(landmarks, np.float64)
    if landmarks.shape != (68, 2):
        raise ShapeError(f"expected 68 landmarks (68, 2), got {landmarks.shape}")
    model = mean_face().landmarks - mean_face().landmarks.mean(axis=0)
    image = (landmarks - landmarks.mean(axis=0)) * (1.0, -1.0)
    rows = np.linalg.lstsq(model, image, rcond=None)[0].T
    u, singular, vt = np.linalg.svd(rows, full_matrices=False)
    if singular[1] <= 1e-9 * max(singular[0], 1e-300):
        raise DegenerateInputError("the landmarks lie on one line and fix no rotation")
    x_axis, y_axis = u @ vt
    return np.stack([x_axis, y_axis, np.cross(x_axis, y_axis)])
