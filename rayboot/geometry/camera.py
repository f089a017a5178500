"""Coordinate frames, pixel origin and rotations, defined once for the whole package.

The frame of every vertex has x to the right, y up and z towards the viewer, in
pixels of the crop, with its origin at the crop's centre. For a crop of width W
and height H and a volume of D slices::

    x = column - (W - 1) / 2     y = (H - 1) / 2 - row     z = (slice - (D - 1) / 2) / 2

Slices grow towards the viewer and are half a pixel apart. The camera is
orthographic and looks along -z. Rotations act on column vectors,
``R = R_pitch(x) @ R_yaw(y)``; points stored as rows are rotated by
``points @ R.T``. Positive yaw turns the nose to the viewer's right, positive
pitch turns it up.
"""

import numpy as np

__all__ = [
    "SLICES_PER_PIXEL",
    "crop_from_pixel",
    "crop_from_voxel",
    "gaze_angles",
    "pixel_from_crop",
    "rotation_in_plane",
    "rotation_yaw_pitch",
    "transform_points",
    "voxel_from_crop",
]

SLICES_PER_PIXEL = 2
"""Number of volume slices per pixel: depth is stored at twice the image scale."""


def rotation_yaw_pitch(yaw: float, pitch: float) -> np.ndarray:
    """Returns the rotation (3, 3) float64 of ``yaw`` about y, then ``pitch`` about x; radians."""
    cos_y, sin_y, cos_p, sin_p = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch)
    yaw_matrix = np.array([[cos_y, 0.0, sin_y], [0.0, 1.0, 0.0], [-sin_y, 0.0, cos_y]])
    pitch_matrix = np.array([[1.0, 0.0, 0.0], [0.0, cos_p, sin_p], [0.0, -sin_p, cos_p]])
    return np.asarray(pitch_matrix @ yaw_matrix)


def rotation_in_plane(roll: float) -> np.ndarray:
    """Returns the rotation (3, 3) float64 of ``roll`` about z, counter-clockwise; radians."""
    cos, sin = np.cos(roll), np.sin(roll)
    return np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])


def gaze_angles(gaze: np.ndarray) -> tuple[float, float]:
    """Returns the yaw and pitch (radians) that rotate (0, 0, 1) onto the unit vector ``gaze`` (3,).

    This is the inverse of :func:`rotation_yaw_pitch` on the forward axis:
    ``gaze = (sin yaw, cos yaw sin pitch, cos yaw cos pitch)``, |yaw| <= pi / 2.
    """
    x, y, z = np.asarray(gaze, np.float64) / np.linalg.norm(gaze)
    return float(np.arcsin(np.clip(x, -1.0, 1.0))), float(np.arctan2(y, z))


def crop_from_pixel(pixels: np.ndarray, width: int, height: int) -> np.ndarray:
    """Converts (N, 2) column and row of a crop to (N, 2) x and y of the frame."""
    pixels = np.asarray(pixels, np.float64)
    return np.stack([pixels[..., 0] - (width - 1) / 2, (height - 1) / 2 - pixels[..., 1]], axis=-1)


def pixel_from_crop(points: np.ndarray, width: int, height: int) -> np.ndarray:
    """Converts (N, 2 or 3) x, y (and z) of the frame to (N, 2) column and row of the crop."""
    points = np.asarray(points, np.float64)
    return np.stack([points[..., 0] + (width - 1) / 2, (height - 1) / 2 - points[..., 1]], axis=-1)


def crop_from_voxel(shape: tuple[int, int, int]) -> np.ndarray:
    """Returns the affine (3, 4) from voxel indices (slice, row, column) to x, y, z.

    Args:
        shape: (D, H, W) of the volume.
    """
    depth, height, width = shape
    return np.array(
        [
            [0.0, 0.0, 1.0, -(width - 1) / 2],
            [0.0, -1.0, 0.0, (height - 1) / 2],
            [1.0 / SLICES_PER_PIXEL, 0.0, 0.0, -(depth - 1) / (2 * SLICES_PER_PIXEL)],
        ]
    )


def voxel_from_crop(shape: tuple[int, int, int]) -> np.ndarray:
    """Returns the affine (3, 4) from x, y, z to voxel indices (slice, row, column).

    Args:
        shape: (D, H, W) of the volume.
    """
    depth, height, width = shape
    return np.array(
        [
            [0.0, 0.0, float(SLICES_PER_PIXEL), (depth - 1) / 2],
            [0.0, -1.0, 0.0, (height - 1) / 2],
            [1.0, 0.0, 0.0, (width - 1) / 2],
        ]
    )


def transform_points(transform: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Applies an affine (3, 4) to points (N, 3); returns float64."""
    transform = np.asarray(transform, np.float64)
    return np.asarray(np.asarray(points, np.float64) @ transform[:, :3].T + transform[:, 3])
