"""The mean face, and laying it onto a solid whose plane of symmetry is known.

Symmetry leaves open where in its plane the face looks. The mean face answers:
it is turned, shifted and scaled within the plane until its front lies on the
solid's. Made from the synthetic heads by ``jobs/build_head_model.py``.
"""

from functools import cache
from importlib import resources
from typing import NamedTuple

import numpy as np
from scipy.spatial import cKDTree

from rayboot.geometry.alignment import Similarity

__all__ = ["MeanFace", "fit_mean_face", "mean_face"]

_STARTS_DEG = (-25.0, 0.0, 25.0)
_KEEP = 0.8
"""Share of the mean face that takes part: identities and expressions differ most at
the mouth and the rim."""


_COARSENESS = 4
"""Of the template, while it is tried from several starts."""


class MeanFace(NamedTuple):
    """The mean synthetic face, looking along +z; outer eye corners 1 apart.

    Attributes:
        vertices: (N, 3) float64 of the front, without ears and neck.
        landmarks: (68, 3) float64, iBUG order.
    """

    vertices: np.ndarray
    landmarks: np.ndarray


@cache
def mean_face() -> MeanFace:
    """The mean face shipped with the package."""
    with resources.files("rayboot.geometry").joinpath("mean_face.npz").open("rb") as file:
        arrays = np.load(file)
        return MeanFace(arrays["vertices"].astype(float), arrays["landmarks"].astype(float))


def fit_mean_face(points: np.ndarray, normal: np.ndarray) -> tuple[Similarity, float]:
    """Lays the mean face onto a solid.

    Args:
        points: (N, 3) of the solid's surface, px, centred on the symmetry plane.
        normal: (3,) unit normal of that plane, towards +x.

    Returns:
        The similarity from the mean face's frame to the points', whose rotation's
        columns are normal, up and gaze; and the mean distance of the best-lying 80 %, px.
    """
    ahead = np.array([0.0, 0.0, 1.0]) - normal[2] * normal
    ahead = ahead / np.linalg.norm(ahead)
    frame = np.stack([normal, np.cross(ahead, normal), ahead])
    local = points @ frame.T
    tree = cKDTree(local)
    template = mean_face().vertices
    centre = template.mean(axis=0)
    scale = np.sqrt(_spread(local[:, :2]) / _spread(template[:, :2]))
    scaled = (template - centre) * scale
    start = _starting_fit(scaled, local)
    coarse = scaled[::_COARSENESS]
    rough = [
        _register(coarse, local, tree, start._replace(angle=np.radians(angle)))
        for angle in _STARTS_DEG
    ]
    fit = _register(scaled, local, tree, min(rough, key=lambda found: found.residual))
    cos, sin = np.cos(fit.angle), np.sin(fit.angle)
    within = np.array([[1.0, 0.0, 0.0], [0.0, cos, sin], [0.0, -sin, cos]])
    rotation = frame.T @ within
    factor = scale * fit.scale
    shift = frame.T @ np.array([0.0, *fit.shift]) - factor * rotation @ centre
    return Similarity(factor, rotation, shift), fit.residual


class _Fit(NamedTuple):
    """A turn about x (radians, positive looks up), a scale, and a shift in (y, z)."""

    angle: float
    scale: float
    shift: np.ndarray
    residual: float


def _spread(points: np.ndarray) -> float:
    reach = np.quantile(points, 0.9, axis=0) - np.quantile(points, 0.1, axis=0)
    return float(np.square(reach).mean())


def _starting_fit(template: np.ndarray, target: np.ndarray) -> _Fit:
    front = np.quantile(target[:, 2], 0.95) - np.quantile(template[:, 2], 0.95)
    return _Fit(0.0, 1.0, np.array([0.0, front]), np.inf)


def _register(
    template: np.ndarray, target: np.ndarray, tree: cKDTree, fit: _Fit, num_steps: int = 60
) -> _Fit:
    """Alternates nearest points and the best placement for them, from ``fit`` on."""
    count = round(_KEEP * len(template))
    for _ in range(num_steps):
        distance, nearest = tree.query(_place(template, fit.angle, fit.scale, fit.shift))
        best = np.argpartition(distance, count - 1)[:count]
        found = _fit_in_plane(template[best], target[nearest[best]])
        moved, fit = abs(found[0] - fit.angle), _Fit(*found, float(distance[best].mean()))
        if moved < 1e-4:
            break
    return fit


def _place(points: np.ndarray, angle: float, scale: float, shift: np.ndarray) -> np.ndarray:
    cos, sin = np.cos(angle), np.sin(angle)
    y = cos * points[:, 1] + sin * points[:, 2]
    z = cos * points[:, 2] - sin * points[:, 1]
    return np.column_stack([scale * points[:, 0], scale * y + shift[0], scale * z + shift[1]])


def _fit_in_plane(source: np.ndarray, target: np.ndarray) -> tuple[float, float, np.ndarray]:
    """Least-squares angle and shift in (y, z), and the scale of all three axes."""
    a = source[:, 1:] - source[:, 1:].mean(axis=0)
    b = target[:, 1:] - target[:, 1:].mean(axis=0)
    # Seen as complex numbers y + i z, a turn is a product.
    product = ((a[:, 0] - 1j * a[:, 1]) * (b[:, 0] + 1j * b[:, 1])).sum()
    angle = -float(np.angle(product))
    along = float(np.abs(product) + source[:, 0] @ target[:, 0])
    scale = along / float(np.square(a).sum() + np.square(source[:, 0]).sum())
    # A patch shrunk to nothing lies on any surface.
    scale = float(np.clip(scale, 0.8, 1.25))
    shift = (target - _place(source, angle, scale, np.zeros(2)))[:, 1:].mean(axis=0)
    return angle, scale, shift
