"""The mean face, and its registration to a solid whose plane of symmetry is known.

Symmetry does not determine in which direction of its plane the face looks. The
mean face does: it is rotated, translated and scaled within the plane until its
front surface coincides with the solid's, and deformed along the modes in which
faces differ, because a rigid template would mistake an open jaw for a nod. It is
built by ``jobs/build_mean_face.py``.
"""

from functools import cache
from importlib import resources
from typing import NamedTuple

import numpy as np

from rayboot.geometry.alignment import PointSurface, Similarity

__all__ = ["MeanFace", "fit_mean_face", "load_mean_face"]

_STARTS_DEG = (-25.0, 0.0, 25.0)
"""Initial pitch angles; the best of the coarse registrations is refined."""

_KEPT_FRACTION = 0.8
"""Fraction of the mean face's vertices that enter each step: identities and expressions differ
most at the mouth and the rim."""

_COARSE_STRIDE = 4
"""Stride over the template's vertices in the coarse registrations."""

_NOISE = 0.02
"""Standard deviation of the points where the model is right, as a fraction of the face's width.
Values from 0.02 to 100 were compared on faces that no reported result uses."""

_TANGENTIAL_WEIGHT = 0.1
"""Weight of an error along the surface against one across it: nearest points keep a smooth
surface from sliding to its true position."""

_MAX_STEPS = 60

_COARSE_TOLERANCE, _FINE_TOLERANCE = 1e-3, 1e-4
"""A registration ends with a step smaller than this, radians."""

_SCALE_SIGMA = 0.1
"""Standard deviation of a face's true size about the size that its extent suggests."""


class MeanFace(NamedTuple):
    """The mean synthetic face, which looks along +z; its outer eye corners are 1 apart.

    Attributes:
        vertices: (N, 3) float64 of the front, without ears and neck.
        landmarks: (68, 3) float64, iBUG order.
        modes: (M, N, 3) float64 offsets of identity and expression, symmetric, one standard
            deviation each.
    """

    vertices: np.ndarray
    landmarks: np.ndarray
    modes: np.ndarray


@cache
def load_mean_face() -> MeanFace:
    """Returns the mean face that is shipped with the package; it is read once per process."""
    with resources.files("rayboot.geometry").joinpath("mean_face.npz").open("rb") as file:
        arrays = np.load(file)
        return MeanFace(*(arrays[name].astype(float) for name in MeanFace._fields))


def fit_mean_face(surface: PointSurface, normal: np.ndarray) -> tuple[Similarity, float]:
    """Registers the mean face to a solid.

    Args:
        surface: surface of the solid, px, centred on the symmetry plane.
        normal: (3,) unit normal of that plane, towards +x.

    Returns:
        The similarity from the mean face's frame to the points', the columns of whose rotation
        are normal, up and gaze; and the mean distance of the closest 80 % of the vertices, px.
    """
    ahead = np.array([0.0, 0.0, 1.0]) - normal[2] * normal
    ahead = ahead / np.linalg.norm(ahead)
    frame = np.stack([normal, np.cross(ahead, normal), ahead])
    target = surface.rotated(frame)
    local = target.points
    template = load_mean_face().vertices
    centre = template.mean(axis=0)
    scale = np.sqrt(_mean_square_extent(local[:, :2]) / _mean_square_extent(template[:, :2]))
    scaled = (template - centre) * scale
    modes = load_mean_face().modes * scale
    start = _initial_fit(scaled, local)
    coarse, coarse_modes = scaled[::_COARSE_STRIDE], modes[:, ::_COARSE_STRIDE]
    coarse_fits = [
        _register(
            coarse,
            coarse_modes,
            target,
            start._replace(angle=np.radians(angle)),
            _COARSE_TOLERANCE,
        )
        for angle in _STARTS_DEG
    ]
    best = min(coarse_fits, key=lambda candidate: candidate.residual)
    fit = _register(scaled, modes, target, best, _FINE_TOLERANCE)
    rotation = frame.T @ _pitch_rotation(fit.angle)
    factor = scale * fit.scale
    shift = frame.T @ np.array([0.0, *fit.shift]) - factor * rotation @ centre
    return Similarity(factor, rotation, shift), fit.residual


class _Fit(NamedTuple):
    """Parameters of a registration, and its residual.

    Attributes:
        angle: rotation about x, radians; positive looks up.
        scale: factor on the size that the extents suggest.
        shift: (2,) translation in y and z.
        weights: (M,) of the modes.
        residual: mean distance of the vertices that were kept.
    """

    angle: float
    scale: float
    shift: np.ndarray
    weights: np.ndarray
    residual: float


def _mean_square_extent(points: np.ndarray) -> float:
    """Returns the mean squared distance between the 10 % and 90 % quantiles of the coordinates."""
    extent = np.quantile(points, 0.9, axis=0) - np.quantile(points, 0.1, axis=0)
    return float(np.square(extent).mean())


def _initial_fit(template: np.ndarray, target: np.ndarray) -> _Fit:
    """Returns the fit that matches the middle of the heights and the front of the depths."""
    middle = np.quantile(target[:, 1], [0.1, 0.9]) - np.quantile(template[:, 1], [0.1, 0.9])
    front = np.quantile(target[:, 2], 0.95) - np.quantile(template[:, 2], 0.95)
    weights = np.zeros(len(load_mean_face().modes))
    return _Fit(0.0, 1.0, np.array([middle.mean(), front]), weights, np.inf)


def _register(
    template: np.ndarray,
    modes: np.ndarray,
    target: PointSurface,
    fit: _Fit,
    tolerance: float,
) -> _Fit:
    """Alternates nearest points and one Gauss-Newton step towards them, starting from ``fit``."""
    count = round(_KEPT_FRACTION * len(template))
    noise = _NOISE * float(np.ptp(template[:, 0]))
    for _ in range(_MAX_STEPS):
        deformed = template + np.tensordot(fit.weights, modes, 1)
        rotated = deformed @ _pitch_rotation(fit.angle).T
        points = fit.scale * rotated + [0.0, *fit.shift]
        distance, nearest = target.tree.query(points)
        kept = np.argpartition(distance, count - 1)[:count]
        step = _solve(
            _derivatives(rotated[kept], modes[:, kept], fit),
            target.points[nearest[kept]] - points[kept],
            target.normals[nearest[kept]],
            fit,
            noise,
        )
        fit = _Fit(
            fit.angle + step[0],
            float(np.clip(fit.scale + step[1], 0.7, 1.4)),
            fit.shift + step[2:4],
            fit.weights + step[4:],
            float(distance[kept].mean()),
        )
        if abs(step[0]) < tolerance:
            break
    return fit


def _pitch_rotation(angle: float) -> np.ndarray:
    """Returns the rotation (3, 3) about x; a positive angle looks up."""
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([[1.0, 0.0, 0.0], [0.0, cos, sin], [0.0, -sin, cos]])


def _derivatives(rotated: np.ndarray, modes: np.ndarray, fit: _Fit) -> np.ndarray:
    """Returns the points' derivatives (4 + M, N, 3) by angle, scale, shift in y and z, and modes.

    Args:
        rotated: (N, 3) deformed and rotated template points, not yet scaled.
        modes: (M, N, 3) of these points.
        fit: the present parameters.
    """
    derivatives = np.zeros((4 + len(modes), *rotated.shape))
    derivatives[0, :, 1] = fit.scale * rotated[:, 2]
    derivatives[0, :, 2] = -fit.scale * rotated[:, 1]
    derivatives[1] = rotated
    derivatives[2, :, 1] = derivatives[3, :, 2] = 1.0
    derivatives[4:] = fit.scale * modes @ _pitch_rotation(fit.angle).T
    return derivatives


def _solve(
    derivatives: np.ndarray, residual: np.ndarray, normals: np.ndarray, fit: _Fit, noise: float
) -> np.ndarray:
    """Returns one Gauss-Newton step (4 + M,); errors across the surface count most.

    Args:
        derivatives: (4 + M, N, 3) of the points by the parameters.
        residual: (N, 3) from the points to their nearest target points.
        normals: (N, 3) of the target.
        fit: the present parameters, on which scale and modes have Gaussian priors.
        noise: standard deviation of the points.

    Source:
        The point-to-plane metric is that of Chen and Medioni, Image and Vision
        Computing 10(3), 1992.
    """
    across = (derivatives * normals).sum(axis=-1)
    along = derivatives.reshape(len(derivatives), -1)
    precision = np.zeros(len(derivatives))
    precision[1], precision[4:] = (noise / _SCALE_SIGMA) ** 2, noise**2
    prior = np.concatenate([[0.0, 1.0 - fit.scale, 0.0, 0.0], -fit.weights])
    squared_weight = _TANGENTIAL_WEIGHT**2
    hessian = across @ across.T + squared_weight * along @ along.T + np.diag(precision)
    gradient = (
        across @ (residual * normals).sum(axis=-1) + squared_weight * along @ residual.ravel()
    )
    return np.linalg.solve(hessian, gradient + precision * prior)
