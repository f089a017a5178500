"""Landmarks in menpo's format: ``.ljson``, of photos and of scans."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from rayboot.errors import ShapeError

__all__ = ["parse_ljson"]

_GROUPS = {
    **{"chin": (0, 17), "jaw": (0, 17)},
    **{"leyebrow": (17, 5), "left_eyebrow": (17, 5), "reyebrow": (22, 5), "right_eyebrow": (22, 5)},
    "nose": (27, 9),
    **{"leye": (36, 6), "left_eye": (36, 6), "reye": (42, 6), "right_eye": (42, 6)},
    "mouth": (48, 20),
}
"""First point in iBUG order and number of points, by the labels that files use."""


def parse_ljson(content: Any) -> np.ndarray:
    """Returns the points of a file; those of a face in iBUG order.

    Some files store the eyes before the brows; where there are labels, points are reordered.

    Args:
        content: The file's JSON, of any version of the format.

    Returns:
        (N, D) float64 in the order of the file's axes: x, y and z of a scan, but row and column
        of a photo. Unseen points are NaN.

    Raises:
        ShapeError: The labels do not assign each of 68 points once.
        LookupError, TypeError, ValueError: The JSON is no landmark file.
    """
    group = _find_group(content)
    points = np.array(group["landmarks"]["points"], np.float64)
    if len(points) != 68:
        return points
    order = _find_order(group)
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
