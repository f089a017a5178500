"""The mean face, and laying it onto a solid whose plane of symmetry is known.

Symmetry leaves open where in its plane the face looks. The mean face answers:
it is turned, shifted and scaled within the plane until its front lies on the
solid's, and bent along the directions in which faces differ: stiff, it would
take an open jaw for a nod. Made by ``jobs/build_mean_face.py``.
"""

from functools import cache
from importlib import resources
from typing import NamedTuple

import numpy as np

from rayboot.geometry.alignment import PointSurface, Similarity

__all__ = ["MeanFace", "fit_mean_face", "mean_face"]

_STARTS_DEG = (-25.0, 0.0, 25.0)
_KEEP = 0.8
"""Share of the mean face that takes part: identities and expressions differ most at
the mouth and the rim."""


_COARSENESS = 4
"""Of the template, while it is tried from several starts."""


_NOISE = 0.02
"""What the points are off by where the model is right, as a share of the face's width;
tried from 0.02 to 100 on faces that no result is reported on."""

_SLIDE = 0.1
"""Weight of an error along the surface against one across it: nearest points hold a
smooth surface back from sliding to where it belongs."""

_NUM_STEPS = 60

_ROUGH, _FINE = 1e-3, 1e-4
"""A search ends with a step smaller than this, radians."""

_SCALE_SPREAD = 0.1
"""Of a face's true size about the one that its extent tells."""


class MeanFace(NamedTuple):
    """The mean synthetic face, looking along +z; outer eye corners 1 apart.

    Attributes:
        vertices: (N, 3) float64 of the front, without ears and neck.
        landmarks: (68, 3) float64, iBUG order.
        modes: (M, N, 3) float64, directions of identity and expression, symmetric,
            a standard deviation each.
    """

    vertices: np.ndarray
    landmarks: np.ndarray
    modes: np.ndarray


@cache
def mean_face() -> MeanFace:
    """The mean face shipped with the package."""
    with resources.files("rayboot.geometry").joinpath("mean_face.npz").open("rb") as file:
        arrays = np.load(file)
        return MeanFace(*(arrays[name].astype(float) for name in MeanFace._fields))


def fit_mean_face(surface: PointSurface, normal: np.ndarray) -> tuple[Similarity, float]:
    """Lays the mean face onto a solid.

    Args:
        surface: of the solid, px, centred on the symmetry plane.
        normal: (3,) unit normal of that plane, towards +x.

    Returns:
        The similarity from the mean face's frame to the points', whose rotation's
        columns are normal, up and gaze; and the mean distance of the best-lying 80 %, px.
    """
    ahead = np.array([0.0, 0.0, 1.0]) - normal[2] * normal
    ahead = ahead / np.linalg.norm(ahead)
    frame = np.stack([normal, np.cross(ahead, normal), ahead])
    target = surface.turned(frame)
    local = target.points
    template = mean_face().vertices
    centre = template.mean(axis=0)
    scale = np.sqrt(_spread(local[:, :2]) / _spread(template[:, :2]))
    scaled = (template - centre) * scale
    modes = mean_face().modes * scale
    start = _starting_fit(scaled, local)
    coarse, coarse_modes = scaled[::_COARSENESS], modes[:, ::_COARSENESS]
    rough = [
        _register(coarse, coarse_modes, target, start._replace(angle=np.radians(angle)), _ROUGH)
        for angle in _STARTS_DEG
    ]
    best = min(rough, key=lambda found: found.residual)
    fit = _register(scaled, modes, target, best, _FINE)
    rotation = frame.T @ _turn(fit.angle)
    factor = scale * fit.scale
    shift = frame.T @ np.array([0.0, *fit.shift]) - factor * rotation @ centre
    return Similarity(factor, rotation, shift), fit.residual


class _Fit(NamedTuple):
    """A turn about x (radians, positive looks up), a scale, a shift in (y, z), modes' weights."""

    angle: float
    scale: float
    shift: np.ndarray
    weights: np.ndarray
    residual: float


def _spread(points: np.ndarray) -> float:
    reach = np.quantile(points, 0.9, axis=0) - np.quantile(points, 0.1, axis=0)
    return float(np.square(reach).mean())


def _starting_fit(template: np.ndarray, target: np.ndarray) -> _Fit:
    middle = np.quantile(target[:, 1], [0.1, 0.9]) - np.quantile(template[:, 1], [0.1, 0.9])
    front = np.quantile(target[:, 2], 0.95) - np.quantile(template[:, 2], 0.95)
    weights = np.zeros(len(mean_face().modes))
    return _Fit(0.0, 1.0, np.array([middle.mean(), front]), weights, np.inf)


def _register(
    template: np.ndarray,
    modes: np.ndarray,
    target: PointSurface,
    fit: _Fit,
    tolerance: float,
) -> _Fit:
    """Alternates nearest points and the best placement for them, from ``fit`` on."""
    count = round(_KEEP * len(template))
    noise = _NOISE * float(np.ptp(template[:, 0]))
    for _ in range(_NUM_STEPS):
        bent = template + np.tensordot(fit.weights, modes, 1)
        turned = bent @ _turn(fit.angle).T
        placed = fit.scale * turned + [0.0, *fit.shift]
        distance, nearest = target.tree.query(placed)
        best = np.argpartition(distance, count - 1)[:count]
        moved = _derivatives(turned[best], modes[:, best], fit)
        step = _solve(
            moved,
            target.points[nearest[best]] - placed[best],
            target.normals[nearest[best]],
            fit,
            noise,
        )
        fit = _Fit(
            fit.angle + step[0],
            float(np.clip(fit.scale + step[1], 0.7, 1.4)),
            fit.shift + step[2:4],
            fit.weights + step[4:],
            float(distance[best].mean()),
        )
        if abs(step[0]) < tolerance:
            break
    return fit


def _turn(angle: float) -> np.ndarray:
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([[1.0, 0.0, 0.0], [0.0, cos, sin], [0.0, -sin, cos]])


def _derivatives(turned: np.ndarray, modes: np.ndarray, fit: _Fit) -> np.ndarray:
    """How placed points move (4 + M, N, 3) with angle, scale, shift in y and z, and modes."""
    moved = np.zeros((4 + len(modes), *turned.shape))
    moved[0, :, 1], moved[0, :, 2] = fit.scale * turned[:, 2], -fit.scale * turned[:, 1]
    moved[1] = turned
    moved[2, :, 1] = moved[3, :, 2] = 1.0
    moved[4:] = fit.scale * modes @ _turn(fit.angle).T
    return moved


def _solve(
    moved: np.ndarray, residual: np.ndarray, normals: np.ndarray, fit: _Fit, noise: float
) -> np.ndarray:
    """One Gauss-Newton step (4 + M,); errors across the surface count most.

    Source:
        The point-to-plane metric is that of Chen and Medioni, Image and Vision
        Computing 10(3), 1992.
    """
    across = (moved * normals).sum(axis=-1)
    along = moved.reshape(len(moved), -1)
    precision = np.zeros(len(moved))
    precision[1], precision[4:] = (noise / _SCALE_SPREAD) ** 2, noise**2
    prior = np.concatenate([[0.0, 1.0 - fit.scale, 0.0, 0.0], -fit.weights])
    normal = across @ across.T + _SLIDE**2 * along @ along.T + np.diag(precision)
    pull = across @ (residual * normals).sum(axis=-1) + _SLIDE**2 * along @ residual.ravel()
    return np.linalg.solve(normal, pull + precision * prior)
