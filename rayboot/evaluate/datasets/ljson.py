"""Landmarks on a scan in menpo's format: ``.ljson``."""

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
"""First point in iBUG order and number of points, by the labels that files use."""


def read_ljson(payload: bytes) -> np.ndarray:
    """Returns the 68 landmarks of a file in iBUG order.

    Some files store the eyes before the brows; where there are labels, points are reordered.

    Args:
        payload: Bytes of the file, of any version of the format.

    Returns:
        (68, 3) float64, in the scan's frame and unit.

    Raises:
        ShapeError: The file is damaged, holds other points, or its labels omit some.
    """
    try:
        group = _find_group(json.loads(payload))
        points = np.array(group["landmarks"]["points"], np.float64)
        order = _find_order(group)
    except Exception as error:  # arbitrary JSON may lack any part
        raise ShapeError(
            f"no landmarks in the .ljson file ({type(error).__name__}: {error})"
        ) from error
    if points.shape != (68, 3) or not np.isfinite(points).all():
        raise ShapeError(f"expected 68 finite points (68, 3), got {points.shape}")
    if sorted(order) != list(range(68)):
        raise ShapeError(
            f"the labels assign {len(set(order))} of 68 points to the landmarks of iBUG; assign "
            "each point once"
        )
    return points[order]


def _find_group(content: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns the first group; a file of version 2 is one group, later ones have several."""
    groups = content.get("groups")
    if groups is None:
        return content
    group: Mapping[str, Any] = (
        groups[0] if isinstance(groups, list) else next(iter(groups.values()))
    )
    return group


def _find_order(group: Mapping[str, Any]) -> list[int]:
    """Returns the index in the file of each landmark in iBUG order; by default the same order."""
    order = list(range(68))
    masks = {str(label["label"]).lower(): label["mask"] for label in group.get("labels", ())}
    for label in masks.keys() & _GROUPS.keys():
        first, count = _GROUPS[label]
        mask = masks[label]
        # A mask holds either indices, or a flag for each point.
        indices = np.flatnonzero(mask) if len(mask) == 68 else np.sort(np.asarray(mask, int))
        if len(indices) != count:
            raise ShapeError(f"label {label} has {len(indices)} points, iBUG's has {count}")
        order[first : first + count] = indices.tolist()
    return order
