"""The scaled orthographic camera that sees known points where a photo shows them."""

from typing import NamedTuple

import numpy as np
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from rayboot.errors import DegenerateInputError, ShapeError

__all__ = ["OrthographicCamera", "fit_orthographic"]

_FLAT = 1e-9
"""Extents smaller than this share of the largest are none."""


class OrthographicCamera(NamedTuple):
    """``points -> scale * (points @ rotation.T)[:, :2] + translation``.

    Attributes:
        scale: units of the picture per unit of the points.
        rotation: (3, 3) float64 of determinant +1; its third row looks towards the viewer.
        translation: (2,) float64 in the picture.
    """

    scale: float
    rotation: np.ndarray
    translation: np.ndarray

    def project(self, points: np.ndarray) -> np.ndarray:
        """Where points (N, 3) are seen, (N, 2) float64."""
        return self.place(points)[:, :2]

    def place(self, points: np.ndarray) -> np.ndarray:
        """Points (N, 3) in the picture's frame and unit.

        A photo leaves open how far away they are: z is about the origin of the points.
        """
        turned = self.scale * np.asarray(points, np.float64) @ self.rotation.T
        return turned + np.array([*self.translation, 0.0])


def fit_orthographic(points3d: np.ndarray, points2d: np.ndarray) -> OrthographicCamera:
    """Least-squares camera that sees ``points3d`` at ``points2d``.

    From a closed form and, as flat shapes have two answers that differ little, its mirror in
    depth, to convergence each; the better one is taken.

    Args:
        points3d: (N, 3), N >= 4, any unit and right-handed frame.
        points2d: (N, 2), x right and y **up**; of pixels, which count rows down, use
            :func:`rayboot.geometry.camera.crop_from_pixel`.

    Raises:
        ShapeError: the arrays are not finite (N, 3) and (N, 2) with the same N.
        DegenerateInputError: the points lie in one plane, which leaves two answers, or are seen
            on one line, which leaves none.

    Source:
        The start is the first step of POSIT, DeMenthon and Davis, IJCV 15, 1995.
    """
    points3d, points2d = np.asarray(points3d, np.float64), np.asarray(points2d, np.float64)
    _require_points(points3d, points2d)
    middle, seen_middle = points3d.mean(axis=0), points2d.mean(axis=0)
    solid, seen = points3d - middle, points2d - seen_middle
    # One size for both sides: the search then needs no unit.
    size, seen_size = np.sqrt(np.square(solid).mean()), np.sqrt(np.square(seen).mean())
    if size == 0 or seen_size == 0:
        raise DegenerateInputError(f"{len(solid)} points at one place fix no camera")
    solid, seen = solid / size, seen / seen_size
    extents, axes = np.linalg.svd(solid, full_matrices=False)[1:]
    if extents[2] <= _FLAT * extents[0]:
        raise DegenerateInputError(f"{len(solid)} points in one plane leave two cameras")
    fits = [_refine(start, solid, seen) for start in _starts(solid, seen, axes[2])]
    scale, rotation, _ = min(fits, key=lambda fit: fit[2])
    scale *= seen_size / size
    return OrthographicCamera(scale, rotation, seen_middle - scale * rotation[:2] @ middle)


def _require_points(points3d: np.ndarray, points2d: np.ndarray) -> None:
    count = len(points3d) if points3d.ndim else 0
    if points3d.shape != (count, 3) or points2d.shape != (count, 2) or count < 4:
        raise ShapeError(
            "expected points (N, 3) and where they are seen (N, 2), N at least 4, got "
            f"{points3d.shape} and {points2d.shape}"
        )
    if not (np.isfinite(points3d).all() and np.isfinite(points2d).all()):
        raise ShapeError(f"{count} points: a coordinate is not a finite number")


def _starts(solid: np.ndarray, seen: np.ndarray, thin: np.ndarray) -> list[np.ndarray]:
    """Two rotations: of the best affine camera, and mirrored in depth.

    Args:
        solid: (N, 3), centred.
        seen: (N, 2), centred.
        thin: (3,) unit vector across which the points reach least.
    """
    rows = np.linalg.lstsq(solid, seen, rcond=None)[0].T
    u, singular, vt = np.linalg.svd(rows, full_matrices=False)
    if singular[1] <= _FLAT * singular[0]:
        raise DegenerateInputError("the points are seen on one line, which fixes no camera")
    x_axis, y_axis = u @ vt
    first = np.stack([x_axis, y_axis, np.cross(x_axis, y_axis)])
    # Mirrored at the points' own plane and at the picture's: no reflection in all.
    mirror = np.eye(3) - 2 * np.outer(thin, thin)
    return [first, np.diag([1.0, 1.0, -1.0]) @ first @ mirror]


def _refine(
    start: np.ndarray, solid: np.ndarray, seen: np.ndarray
) -> tuple[float, np.ndarray, float]:
    """Scale, rotation and squared error of the camera nearest to a start."""

    def turned(turn: np.ndarray) -> np.ndarray:
        return Rotation.from_rotvec(turn).as_matrix() @ start

    def best_scale(rotation: np.ndarray) -> float:
        # A scale that belongs to a rotation is known; a negative one would be a reflection.
        plane = solid @ rotation[:2].T
        return max(float((plane * seen).sum() / np.square(plane).sum()), 0.0)

    def errors(turn: np.ndarray) -> np.ndarray:
        rotation = turned(turn)
        return (best_scale(rotation) * solid @ rotation[:2].T - seen).ravel()

    found = least_squares(errors, np.zeros(3), xtol=1e-12, ftol=1e-14, gtol=1e-12)
    rotation = turned(found.x)
    return best_scale(rotation), rotation, float(found.cost)
