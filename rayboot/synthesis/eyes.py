"""Irises, and the light that they reflect, of a synthetic head."""

from collections.abc import Iterator

import numpy as np

from rayboot.geometry.camera import rotation_yaw_pitch
from rayboot.geometry.head_model import HeadModel
from rayboot.synthesis.sampling import FaceSample
from rayboot.synthesis.surfaces import Surface, build_sheet, join_surfaces, unit_vectors

__all__ = ["build_catchlights", "build_irises"]

_PUPIL, _IRIS = 0.19, 0.45
"""Angles of the edges of pupil and iris about the middle of the eyeball, rad."""

_CATCHLIGHT_RADIUS = 0.06
"""Angle of the edge of a catchlight, rad."""


def _fit_eyeballs(head: np.ndarray, model: HeadModel) -> Iterator[tuple[np.ndarray, float]]:
    """Yields centre and radius of the sphere that fits the vertices of each eye best."""
    is_eye = model.masks["eyes"] > 0.5
    for side in (model.mean[:, 0] < 0, model.mean[:, 0] > 0):
        points = head[is_eye & side].astype(np.float64)
        equations = np.column_stack([2 * points, np.ones(len(points))])
        solution = np.linalg.lstsq(equations, np.square(points).sum(axis=1), rcond=None)[0]
        centre = solution[:3]
        yield centre, float(np.sqrt(solution[3] + centre @ centre))


def _cap(
    centre: np.ndarray, radius: float, axis: np.ndarray, angles: np.ndarray, colors: np.ndarray
) -> Surface:
    """Returns the part of a sphere about an axis, with a colour (3,) for each ring of angles."""
    first = unit_vectors(np.cross([0.0, 1.0, 0.0], axis))
    second = np.cross(axis, first)
    around = np.linspace(0, 2 * np.pi, 13)[None, :, None]
    ring = np.cos(around) * first + np.sin(around) * second
    tilt = angles[:, None, None]
    points = centre + radius * (np.cos(tilt) * axis + np.sin(tilt) * ring)
    return build_sheet(points, colors[:, None])


def build_irises(head: np.ndarray, sample: FaceSample, model: HeadModel) -> Surface:
    """Returns irises and pupils that look where the sample's gaze says, in the head's frame.

    Args:
        head: (N, 3) vertices in the head's frame.
        sample: colour of the irises, and gaze.
        model: head model.
    """
    axis = rotation_yaw_pitch(*sample.gaze)[:, 2]
    iris = sample.appearance.iris
    angles = np.array([0.0, _PUPIL - 0.02, _PUPIL + 0.04, _IRIS - 0.08, _IRIS])
    colors = np.stack([np.full(3, 0.02), np.full(3, 0.02), 1.15 * iris, 0.95 * iris, 0.4 * iris])
    return join_surfaces(
        [
            _cap(centre, 1.025 * radius, axis, angles, 0.85 * colors)
            for centre, radius in _fit_eyeballs(head, model)
        ]
    )


def build_catchlights(head: np.ndarray, sample: FaceSample, model: HeadModel) -> Surface | None:
    """Returns the reflections of the first light on the corneas; None if it is behind the head.

    Args:
        head: (N, 3) vertices in the head's frame.
        sample: pose, gaze and light.
        model: head model.
    """
    light = sample.lighting.lights[0]
    if light.direction[2] < 0.1:
        return None
    half = unit_vectors(light.direction + np.array([0.0, 0.0, 1.0])) @ sample.rotation
    axis = rotation_yaw_pitch(*sample.gaze)[:, 2]
    # The cornea is more curved than the eyeball, so reflections stay near the iris.
    place = unit_vectors(axis + 0.35 * (half - axis))
    colors = np.tile(np.clip(1.1 * light.color, 0, 0.9), (2, 1))
    angles = np.array([0.0, _CATCHLIGHT_RADIUS])
    return join_surfaces(
        [
            _cap(centre, 1.06 * radius, place, angles, colors)
            for centre, radius in _fit_eyeballs(head, model)
        ]
    )
