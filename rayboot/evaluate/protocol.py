"""How a reconstruction is compared with the truth: everything that moves the number.

Two results can be compared only where their protocols are equal; each result
keeps its protocol and names its version. ``docs/evaluation.md`` has it in words.
"""

from typing import Literal

from pydantic import Field

from rayboot.config import FrozenConfig

__all__ = ["PROTOCOL_VERSION", "Alignment", "Direction", "Protocol"]

PROTOCOL_VERSION: Literal[1] = 1
"""Counted up whenever the same shapes would get another number."""

Alignment = Literal["icp", "correspondence", "none"]
"""``icp``: distances after rigid ICP, the bootstrap paper's. ``correspondence``: ICP only says
which points belong together, distances are taken where the shapes were, the VRN paper's.
``none``: closest points without any ICP."""

Direction = Literal["truth_to_prediction", "prediction_to_truth", "both"]


class Protocol(FrozenConfig):
    """Fields with which a normalised mean error is measured."""

    version: Literal[1] = PROTOCOL_VERSION
    direction: Direction = "truth_to_prediction"
    """From whose points distances go to the closest ones of the other: every true point counts
    once; or every predicted point that lies over the true face; or the mean of both."""
    closest: Literal["vertices", "surface"] = "vertices"
    """Where closest points lie: on vertices, as published scripts have it, or anywhere on
    triangles. Vertices overstate distances: by 9 to 13 % for the compact network, 5 to 10 % at
    full size."""
    scale: bool = False
    """Whether ICP may scale the truth; a wrong size then costs nothing."""
    icp_points: int = Field(2000, ge=50)
    """True points, evenly drawn by their order, that take part in ICP. All are measured."""
    max_iterations: int = Field(200, ge=1)
    """Of each pass of ICP, which ends before when its steps are small; docs/evaluation.md says how
    small. Carried on to rest, errors of four made faces change by less than 0.05 %."""
    max_correspondence: float | None = Field(None, gt=0)
    """Closest points farther apart than this share of the outer eye distance take no part in ICP;
    they are measured like all others. None: all take part."""
    depth: Literal["as_placed", "mean"] = "mean"
    """Of ``correspondence``: a photo leaves open how deep a face lies, so by default the mean
    offset in depth of the points that belong together is taken out."""
