"""The gate: whether a candidate may become the champion."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from pydantic import Field

from rayboot.config import FrozenConfig
from rayboot.evaluate.metrics.statistics import Interval, paired_change
from rayboot.evaluate.results import FaceError, select_band
from rayboot.registry.thresholds import find_exceeded

__all__ = ["GateConfig", "GateDecision", "decide_promotion"]


_DETAILS = {"normals": "normal_deg", "nose": "nme_nose"}
"""Field of :class:`~rayboot.evaluate.results.FaceError` by the name of a detail."""


class GateConfig(FrozenConfig):
    """How much ICP NME must improve on profiles, and may worsen on near-frontal faces."""

    profile_from_deg: float = Field(60.0, gt=0, le=90)
    """Smallest absolute yaw of a profile."""
    front_to_deg: float = Field(15.0, gt=0, le=90)
    """Largest absolute yaw of a frontal face."""
    min_profile_gain: float = Field(0.0, gt=-1, lt=1)
    """Smallest improvement on profiles, as a fraction of the champion's profile error."""
    max_front_loss: float = Field(0.1, ge=0)
    """Largest degradation on near-frontal faces, as a fraction of the champion's error there. The
    upper end of its 95 % interval counts: fewer faces at the front make the gate harder to pass,
    not easier."""
    max_detail_loss: float | None = Field(None, ge=0)
    """Largest degradation of the normals and of the nose over all faces, each as a fraction of the
    champion's error, where the truth contains them; the upper ends of the intervals count. None
    sets no limit."""


class GateDecision(NamedTuple):
    """The gate's decision; changes are fractions of the champion's error, negative is better."""

    passed: bool
    profile: Interval
    front: Interval
    reason: str


def decide_promotion(
    champion: Sequence[FaceError], candidate: Sequence[FaceError], config: GateConfig
) -> GateDecision:
    """Compares two models on the same faces and decides whether the candidate passes.

    Both bands count with the worse end of their 95 % interval: profiles must improve there,
    and the front may not worsen there by more than the config allows, nor the details.

    Args:
        champion: errors of the model to beat.
        candidate: errors of the new model, in the same order of faces.
        config: bands and limits.
    """
    profile = _relative_change(champion, candidate, config.profile_from_deg, 90.0)
    front = _relative_change(champion, candidate, 0.0, config.front_to_deg)
    details = {
        name: _relative_change(champion, candidate, 0.0, 90.0, field)
        for name, field in _DETAILS.items()
    }
    if not profile.num_faces or not front.num_faces:
        return GateDecision(False, profile, front, "no face in the profile band or at the front")
    changes = {"profiles": profile.high, "front": front.high}
    limits = {"profiles": -config.min_profile_gain, "front": config.max_front_loss}
    if config.max_detail_loss is not None:
        measured = {name: change for name, change in details.items() if change.num_faces}
        changes.update({name: change.high for name, change in measured.items()})
        limits.update(dict.fromkeys(measured, config.max_detail_loss))
    faults = find_exceeded(changes, limits)
    # A change equal to the limit is no gain yet.
    if "profiles" not in faults and profile.high == limits["profiles"]:
        faults.insert(0, "profiles")
    reasons = {
        "profiles": f"profiles changed by {_format_change(profile)}, no clear gain of more than "
        f"{config.min_profile_gain:.0%}",
        "front": f"the front changed by {_format_change(front)}, which may be a loss of more than "
        f"{config.max_front_loss:.0%}",
        **{
            name: f"the error of {name} changed by {_format_change(change)}, which may be a loss "
            f"of more than {config.max_detail_loss or 0:.0%}"
            for name, change in details.items()
        },
    }
    if faults:
        return GateDecision(False, profile, front, "; ".join(reasons[name] for name in faults))
    reason = f"profiles {_format_change(profile)}, front {_format_change(front)}"
    return GateDecision(True, profile, front, reason)


def _format_change(change: Interval) -> str:
    return f"{change.mean:+.1%} [{change.low:+.1%}, {change.high:+.1%}]"


def _relative_change(
    champion: Sequence[FaceError],
    candidate: Sequence[FaceError],
    low: float,
    high: float,
    field: str = "nme_icp",
) -> Interval:
    """Returns the paired change of an error in a band of |yaw|, relative to the champion's mean.

    Faces without a finite error for both models do not count.
    """
    before = np.array([getattr(face, field) for face in select_band(champion, low, high)])
    after = np.array([getattr(face, field) for face in select_band(candidate, low, high)])
    both = np.isfinite(before) & np.isfinite(after)
    if not both.any():
        return Interval(np.nan, np.nan, np.nan, 0)
    change = paired_change(before[both], after[both])
    base = before[both].mean()
    return Interval(change.mean / base, change.low / base, change.high / base, change.num_faces)
