"""The measurement protocol: every setting that changes the error of a reconstruction.

Two results can be compared only where their protocols are equal; each result
stores its protocol and the protocol's version. ``docs/reference/evaluation.md`` describes
it in words.
"""

from typing import Literal

from pydantic import Field

from rayboot.config import FrozenConfig

__all__ = ["PROTOCOL_VERSION", "Alignment", "Direction", "Protocol"]

PROTOCOL_VERSION: Literal[1] = 1
"""Version of the protocol; it increases whenever the same shapes would get another error."""

Alignment = Literal["icp", "correspondence", "none"]
"""How shapes are aligned before distances are taken. ``icp``: rigid ICP, as in the bootstrap
paper. ``correspondence``: ICP only finds corresponding points, and distances are taken between
them at their original positions, as in the VRN paper. ``none``: distances to the closest points
without any ICP."""

Direction = Literal["truth_to_prediction", "prediction_to_truth", "both"]


class Protocol(FrozenConfig):
    """Settings of a normalised mean error (NME) measurement."""

    version: Literal[1] = PROTOCOL_VERSION
    """Version of the protocol's definition."""
    direction: Direction = "truth_to_prediction"
    """Shape whose points are measured to the closest points of the other shape: every true point;
    every predicted vertex that lies over the true face; or the mean of both directions."""
    closest: Literal["vertices", "surface"] = "vertices"
    """What a closest point may be: a vertex, as in published scripts, or any point of a triangle.
    Vertices overstate distances, by 9 to 13 % for the compact network and by 5 to 10 % at full
    size."""
    scale: bool = False
    """Whether ICP may scale the truth; a wrong size then costs nothing."""
    icp_points: int = Field(2000, ge=50)
    """Number of true points in ICP, evenly spaced in their order. The error is the mean over all
    true points."""
    max_iterations: int = Field(200, ge=1)
    """Maximum number of iterations of each ICP pass. A pass ends earlier when its steps are small
    (docs/reference/evaluation.md says how small); running it to full convergence changes the
    errors of four synthetic faces by less than 0.05 %."""
    max_correspondence: float | None = Field(None, gt=0)
    """Maximum distance of a pair of closest points in ICP, as a fraction of the outer eye distance.
    Points that are farther apart are ignored by ICP and still measured. None: no limit."""
    depth: Literal["as_placed", "mean"] = "mean"
    """Depth offset in ``correspondence``. One photo leaves the depth of a face unknown, so ``mean``
    subtracts the mean depth offset of the corresponding points; ``as_placed`` keeps it."""
