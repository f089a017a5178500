"""Landmarks on a scan, as menpo writes them: ``.ljson``."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from rayboot.errors import ShapeError

__all__ = ["read_ljson"]

_GROUPS = {
    **{"chin": (0, 17), "jaw": (0, 17)},
    **{"leyebrow": (17, 5), "left_eyebrow": (17, 5), "reyebrow": (22, 5), "right_eyebrow": (22, 5)},
    "nose": (27, 9),
    **{"leye": (36, 6), "left_eye": (36, 6), "reye": (42, 6), "right_eye": (42, 6)},
    "mouth": (48, 20),
}
"""First point in iBUG order and number of points, by the labels in use."""


def read_ljson(payload: bytes) -> np.ndarray:
    """The 68 landmarks of a file, in iBUG order.

    Some files have the eyes before the brows; where labels tell, points are put in order.

    Args:
        payload: the file's bytes, of any version of the format.

    Returns:
        (68, 3) float64, in the scan's frame and unit.

    Raises:
        ShapeError: the file is damaged, holds other points, or its labels leave some out.
    """
    try:
        group = _group(json.loads(payload))
        points = np.array(group["landmarks"]["points"], np.float64)
        order = _order(group)
    except Exception as error:  # of any JSON, anything may be missing
        raise ShapeError(
            f"no landmarks in the .ljson file ({type(error).__name__}: {error})"
        ) from error
    if points.shape != (68, 3) or not np.isfinite(points).all():
        raise ShapeError(f"expected 68 finite points (68, 3), got {points.shape}")
    if sorted(order) != list(range(68)):
        raise ShapeError(
            f"the labels name {len(set(order))} of 68 landmarks for iBUG's groups; name each once"
        )
    return points[order]


def _group(content: Mapping[str, Any]) -> Mapping[str, Any]:
    """The only, or the first, group: files of the second version are one, those since have many."""
    groups = content.get("groups")
    if groups is None:
        return content
    return groups[0] if isinstance(groups, list) else next(iter(groups.values()))


def _order(group: Mapping[str, Any]) -> list[int]:
    """For each landmark in iBUG order its place in the file; without labels they lie in order."""
    order = list(range(68))
    named = {str(label["label"]).lower(): label["mask"] for label in group.get("labels", ())}
    for label in named.keys() & _GROUPS.keys():
        first, count = _GROUPS[label]
        mask = named[label]
        # Either indices, or a flag a point.
        places = np.flatnonzero(mask) if len(mask) == 68 else np.sort(np.asarray(mask, int))
        if len(places) != count:
            raise ShapeError(f"label {label} has {len(places)} points, iBUG's has {count}")
        order[first : first + count] = places.tolist()
    return order
