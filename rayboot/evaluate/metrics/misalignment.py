"""Why two shapes do not meet after ICP: another unit, other axes, or a head that is turned far.

ICP ends at a nearby minimum, so shapes of other axes give an error that is large, or even
plausible, and is none of the reconstruction.
"""

import numpy as np

from rayboot.data.subsets import evenly_spaced
from rayboot.evaluate.metrics.registration import Surface, register
from rayboot.geometry.alignment import Similarity
from rayboot.geometry.camera import rotation_in_plane, rotation_yaw_pitch

__all__ = ["explain_axes", "explain_sizes"]

_PLAUSIBLE = 0.04
"""Error up to which no cause is searched, in outer eye distances."""

_MUCH_BETTER = 0.6
"""Fraction of the error below which other axes or another start explain it."""

_SIZE_RATIOS = (0.2, 6.0)
"""Size of the prediction relative to that of the truth that is plausible in one unit; a whole head
has about twice the extent of a face."""

_UNITS = {0.001: "metres", 0.01: "decimetres", 0.1: "centimetres", 0.0394: "inches"}
"""What a prediction is probably in if the truth is in millimetres, by the ratio of their sizes."""

_NUM_POINTS = 200

_AXES = {
    "its y axis points down (and z away from the viewer)": np.diag([1.0, -1.0, -1.0]),
    "its y axis points down": np.diag([1.0, -1.0, 1.0]),
    "its x axis points left": np.diag([-1.0, 1.0, 1.0]),
    "its z axis points away from the viewer": np.diag([1.0, 1.0, -1.0]),
    "it faces away from the viewer": np.diag([-1.0, 1.0, -1.0]),
    "its z axis points up": rotation_yaw_pitch(0.0, -np.pi / 2),
    "its z axis points down": rotation_yaw_pitch(0.0, np.pi / 2),
}
"""Names of causes, with the matrix that carries the expected axes to the prediction's."""

_TURNS = tuple(
    rotation_yaw_pitch(np.radians(yaw), np.radians(pitch))
    for yaw, pitch in ((40, 0), (-40, 0), (75, 0), (-75, 0), (0, 40), (0, -40))
) + tuple(rotation_in_plane(np.radians(roll)) for roll in (45, -45, 90, -90))


def explain_sizes(predicted: np.ndarray, truth: np.ndarray, interocular: float) -> str:
    """Returns why the shapes cannot be of one unit, as a sentence; empty where they may be.

    Args:
        predicted: (M, 3), vertices of the reconstruction.
        truth: (N, 3), vertices of the true face.
        interocular: 3D distance of the true outer eye corners.
    """
    ratio = _size(predicted) / max(_size(truth), 1e-300)
    if not _SIZE_RATIOS[0] <= ratio <= _SIZE_RATIOS[1]:
        text = f"the prediction has {ratio:.3g} times the extent of the truth"
        for unit_ratio, name in _UNITS.items():
            if 0.4 < ratio / unit_ratio < 4:
                return f"{text}; if the truth is in millimetres, the prediction is in {name}"
            if 0.4 < ratio * unit_ratio < 4:
                return f"{text}; if the prediction is in millimetres, the truth is in {name}"
        return f"{text}; give both in one unit"
    truth_ratio = _size(truth) / interocular
    if not _SIZE_RATIOS[0] <= truth_ratio <= 2 * _SIZE_RATIOS[1]:
        return (
            f"the truth extends over {truth_ratio:.3g} outer eye distances; is interocular in the "
            "truth's unit?"
        )
    return ""


def _size(points: np.ndarray) -> float:
    return float(
        np.linalg.norm(np.quantile(points, 0.95, axis=0) - np.quantile(points, 0.05, axis=0))
    )


def explain_axes(predicted: np.ndarray, truth: np.ndarray, interocular: float, error: float) -> str:
    """Returns other axes or a turn that explain an error after ICP; empty where none does.

    Args:
        predicted: (M, 3), vertices of the reconstruction.
        truth: (N, 3), vertices of the true face, x right, y up and z towards the viewer.
        interocular: 3D distance of the true outer eye corners, same unit.
        error: Mean distance after ICP, as a fraction of ``interocular``.
    """
    if error <= _PLAUSIBLE:
        return ""
    surface = Surface(predicted)
    points = truth[evenly_spaced(len(truth), _NUM_POINTS)]
    # Of few points, ICP from the usual start may end nearer than that of all points.
    usual = _error_from(np.eye(3), points, surface, interocular)
    best = _MUCH_BETTER * min(error * interocular, usual)
    cause = ""
    for name, axes in _AXES.items():
        other = _error_from(axes, points, surface, interocular)
        if other < best:
            best, cause = other, f"with other axes the shapes meet: {name}"
    for turn in _TURNS:
        other = _error_from(turn, points, surface, interocular)
        if other < best:
            angle = np.degrees(np.arccos(np.clip((np.trace(turn) - 1) / 2, -1, 1)))
            best = other
            cause = (
                f"the prediction is turned, by roughly {angle:.0f} degrees, farther than ICP "
                "recovers; align it first, or pass landmarks of both shapes"
            )
    return cause


def _error_from(
    axes: np.ndarray, points: np.ndarray, surface: Surface, interocular: float
) -> float:
    """Returns the error (in units of the shapes) after ICP from a start with other axes.

    Args:
        axes: (3, 3) orthogonal, from the axes of the points to those of the surface.
        points: (N, 3), points of the truth.
        surface: The prediction.
        interocular: 3D distance of the true outer eye corners.
    """
    turned = points @ axes.T
    front = axes[:, 2]
    # The depth of a solid is arbitrary, so fronts are aligned; across, the middles are.
    across = np.median(surface.vertices, axis=0) - np.median(turned, axis=0)
    fronts = [np.quantile(part @ front, 0.98) for part in (surface.vertices, turned)]
    shift = across + (fronts[0] - fronts[1] - across @ front) * front
    start = Similarity(1.0, np.eye(3), shift)
    fitted = register(turned, surface, start, unit=interocular)
    return float(surface.closest(fitted.apply(turned)).distance.mean())
