"""Scaled orthographic cameras, fitted to known 3D points and their 2D projections."""

from typing import NamedTuple

import numpy as np
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from rayboot.errors import DegenerateInputError, ShapeError

__all__ = ["OrthographicCamera", "fit_orthographic"]

_FLAT_FRACTION = 1e-9
"""An extent smaller than this fraction of the largest counts as zero."""


class OrthographicCamera(NamedTuple):
    """The camera ``points -> scale * (points @ rotation.T)[:, :2] + translation``.

    Attributes:
        scale: image units per unit of the points.
        rotation: (3, 3) float64 of determinant +1; its third row points towards the viewer.
        translation: (2,) float64 in the image.
    """

    scale: float
    rotation: np.ndarray
    translation: np.ndarray

    def project(self, points: np.ndarray) -> np.ndarray:
        """Returns the image coordinates (N, 2) float64 of points (N, 3)."""
        return self.transform(points)[:, :2]

    def transform(self, points: np.ndarray) -> np.ndarray:
        """Returns points (N, 3) in the camera's frame and the image's unit.

        An orthographic image does not determine the distance from the camera, so
        z is relative to the origin of the points.
        """
        rotated = self.scale * np.asarray(points, np.float64) @ self.rotation.T
        return np.asarray(rotated + np.array([*self.translation, 0.0]))


def fit_orthographic(points3d: np.ndarray, points2d: np.ndarray) -> OrthographicCamera:
    """Returns the least-squares camera that projects ``points3d`` onto ``points2d``.

    Flat shapes have two solutions that differ little. The search therefore starts from a
    closed form and from its mirror image in depth, runs each to convergence and returns the
    better one.

    Args:
        points3d: (N, 3), N >= 4, any unit and right-handed frame.
        points2d: (N, 2), x right and y **up**; convert pixels, whose rows count down, with
            :func:`rayboot.geometry.camera.crop_from_pixel`.

    Raises:
        ShapeError: the arrays are not finite (N, 3) and (N, 2) with the same N.
        DegenerateInputError: the points lie in one plane, which leaves two solutions, or their
            projections lie on one line, which leaves none.

    Source:
        The start is the first step of POSIT, DeMenthon and Davis, IJCV 15, 1995.
    """
    points3d, points2d = np.asarray(points3d, np.float64), np.asarray(points2d, np.float64)
    _require_points(points3d, points2d)
    middle, image_middle = points3d.mean(axis=0), points2d.mean(axis=0)
    solid, image = points3d - middle, points2d - image_middle
    # Both sides are normalised to one size, which makes the search independent of units.
    size, image_size = np.sqrt(np.square(solid).mean()), np.sqrt(np.square(image).mean())
    if size == 0 or image_size == 0:
        raise DegenerateInputError(f"{len(solid)} points at one place do not determine a camera")
    solid, image = solid / size, image / image_size
    extents, axes = np.linalg.svd(solid, full_matrices=False)[1:]
    if extents[2] <= _FLAT_FRACTION * extents[0]:
        raise DegenerateInputError(
            f"{len(solid)} points in one plane leave two cameras; give points that differ in depth"
        )
    fits = [_refine(start, solid, image) for start in _initial_rotations(solid, image, axes[2])]
    scale, rotation, _ = min(fits, key=lambda fit: fit[2])
    scale *= image_size / size
    return OrthographicCamera(scale, rotation, image_middle - scale * rotation[:2] @ middle)


def _require_points(points3d: np.ndarray, points2d: np.ndarray) -> None:
    count = len(points3d) if points3d.ndim else 0
    if points3d.shape != (count, 3) or points2d.shape != (count, 2) or count < 4:
        raise ShapeError(
            "expected points (N, 3) and their projections (N, 2) with N at least 4, got "
            f"{points3d.shape} and {points2d.shape}"
        )
    if not (np.isfinite(points3d).all() and np.isfinite(points2d).all()):
        raise ShapeError(f"{count} points: every coordinate must be finite, got NaN or infinity")


def _initial_rotations(
    solid: np.ndarray, image: np.ndarray, thinnest: np.ndarray
) -> list[np.ndarray]:
    """Returns two rotations: that of the best affine camera, and its mirror image in depth.

    Args:
        solid: (N, 3), centred.
        image: (N, 2), centred.
        thinnest: (3,) unit vector along which the points extend least.
    """
    rows = np.linalg.lstsq(solid, image, rcond=None)[0].T
    u, singular, vt = np.linalg.svd(rows, full_matrices=False)
    if singular[1] <= _FLAT_FRACTION * singular[0]:
        raise DegenerateInputError(
            "the projections lie on one line, which does not determine a camera"
        )
    x_axis, y_axis = u @ vt
    first = np.stack([x_axis, y_axis, np.cross(x_axis, y_axis)])
    # Mirrored at the points' own plane and at the image plane, which together is a rotation.
    mirror = np.eye(3) - 2 * np.outer(thinnest, thinnest)
    return [first, np.diag([1.0, 1.0, -1.0]) @ first @ mirror]


def _refine(
    start: np.ndarray, solid: np.ndarray, image: np.ndarray
) -> tuple[float, np.ndarray, float]:
    """Returns scale, rotation and squared error of the local optimum near ``start``."""

    def rotation_at(vector: np.ndarray) -> np.ndarray:
        return np.asarray(Rotation.from_rotvec(vector).as_matrix() @ start)

    def best_scale(rotation: np.ndarray) -> float:
        # The optimal scale of a rotation is known; a negative one would be a reflection.
        plane = solid @ rotation[:2].T
        return max(float((plane * image).sum() / np.square(plane).sum()), 0.0)

    def errors(vector: np.ndarray) -> np.ndarray:
        rotation = rotation_at(vector)
        return np.asarray((best_scale(rotation) * solid @ rotation[:2].T - image).ravel())

    optimum = least_squares(errors, np.zeros(3), xtol=1e-12, ftol=1e-14, gtol=1e-12)
    rotation = rotation_at(optimum.x)
    return best_scale(rotation), rotation, float(optimum.cost)
