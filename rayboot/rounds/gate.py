"""Whether a candidate may become the champion."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from pydantic import Field

from rayboot.config import FrozenConfig
from rayboot.evaluate.benchmark import FaceError, select_band
from rayboot.evaluate.statistics import Interval, paired_change

__all__ = ["GateConfig", "Verdict", "judge"]


class GateConfig(FrozenConfig):
    """What profiles must gain, and the front may lose, in ICP NME."""

    profile_from_deg: float = Field(60.0, gt=0, le=90)
    front_to_deg: float = Field(15.0, gt=0, le=90)
    min_profile_gain: float = Field(0.0, ge=0, lt=1)
    """Share of the champion's profile error that must be gained at least."""
    max_front_loss: float = Field(0.07, ge=0)
    """Share of the champion's near-frontal error that may be lost at most."""


class Verdict(NamedTuple):
    """The gate's answer; changes are shares of the champion's error, negative is better."""

    passed: bool
    profile: Interval
    front: Interval
    reason: str


def judge(
    champion: Sequence[FaceError], candidate: Sequence[FaceError], config: GateConfig
) -> Verdict:
    """Compares two models on the same faces.

    The profile band must gain with its whole 95 % interval; of the near-frontal
    band the mean decides, since a bound on its interval would refuse most small
    evaluation sets.

    Args:
        champion: errors of the model to beat.
        candidate: errors of the new one, in the same order of faces.
        config: of the gate.
    """
    profile = _relative_change(champion, candidate, config.profile_from_deg, 90.0)
    front = _relative_change(champion, candidate, 0.0, config.front_to_deg)
    if not profile.num_faces or not front.num_faces:
        return Verdict(False, profile, front, "no face in the profile band or at the front")
    if not profile.high < -config.min_profile_gain:
        reason = (
            f"profiles changed by {profile.mean:+.1%} [{profile.low:+.1%}, {profile.high:+.1%}]"
        )
        return Verdict(False, profile, front, f"{reason}, no clear gain")
    if front.mean > config.max_front_loss:
        reason = f"the front lost {front.mean:+.1%}, more than {config.max_front_loss:.0%}"
        return Verdict(False, profile, front, reason)
    reason = f"profiles {profile.mean:+.1%}, front {front.mean:+.1%}"
    return Verdict(True, profile, front, reason)


def _relative_change(
    champion: Sequence[FaceError], candidate: Sequence[FaceError], low: float, high: float
) -> Interval:
    before = np.array([face.nme_icp for face in select_band(champion, low, high)])
    after = np.array([face.nme_icp for face in select_band(candidate, low, high)])
    both = np.isfinite(before) & np.isfinite(after)
    if not both.any():
        return Interval(np.nan, np.nan, np.nan, 0)
    change = paired_change(before[both], after[both])
    base = before[both].mean()
    return Interval(change.mean / base, change.low / base, change.high / base, change.num_faces)
