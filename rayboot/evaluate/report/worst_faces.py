"""The faces a page names one by one: the worst, and those that have no number."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from rayboot.evaluate.datasets.base import ExcludedFace
from rayboot.evaluate.results import FaceError

__all__ = ["Failures", "WorstFace", "count_failures", "pick_worst"]


class WorstFace(NamedTuple):
    """A face with a large error.

    Attributes:
        face_id: of the photo.
        yaw_deg: NaN where it is not known.
        errors: of each model after ICP, %; NaN where it has none.
        reason: why one has none; "" otherwise.
    """

    face_id: str
    yaw_deg: float
    errors: list[float]
    reason: str


class Failures(NamedTuple):
    """Faces that share the reason for which they have no number.

    Attributes:
        reason: in words.
        models: which have none; empty for faces that took no part at all.
        face_ids: sorted.
    """

    reason: str
    models: list[str]
    face_ids: list[str]


def pick_worst(errors: Mapping[str, Sequence[FaceError]], count: int) -> list[WorstFace]:
    """Faces with the largest error of the last model after ICP, worst first.

    One that the last model has no number for, and another has, is worse than any; one that no
    model has a number for says nothing of a model and is left to :func:`count_failures`.

    Args:
        errors: by model, in the same order of faces.
        count: of faces.
    """
    faces = [
        WorstFace(
            of_models[0].face_id,
            of_models[0].yaw_deg,
            [100 * face.nme_icp for face in of_models],
            "; ".join(dict.fromkeys(face.reason for face in of_models if face.reason)),
        )
        for of_models in zip(*errors.values(), strict=True)
    ]
    numbered = [face for face in faces if np.isfinite(face.errors).any()]
    return sorted(numbered, key=_badness)[:count]


def _badness(face: WorstFace) -> tuple[float, str]:
    last = face.errors[-1]
    return (-last if np.isfinite(last) else -np.inf), face.face_id


def count_failures(
    errors: Mapping[str, Sequence[FaceError]], faults: Sequence[ExcludedFace]
) -> list[Failures]:
    """Faces without a number by reason, the most frequent first.

    Args:
        errors: by model, in the same order of faces.
        faults: faces that were found and take no part.
    """
    groups: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for of_models in zip(*errors.values(), strict=True):
        by_model = dict(zip(errors, of_models, strict=True))
        for reason in dict.fromkeys(face.reason for face in of_models if face.reason):
            missing = tuple(model for model, face in by_model.items() if face.reason == reason)
            groups.setdefault((reason, missing), []).append(of_models[0].face_id)
    for fault in faults:
        groups.setdefault((fault.reason, ()), []).append(fault.face_id)
    found = [
        Failures(reason, list(models), sorted(ids)) for (reason, models), ids in groups.items()
    ]
    return sorted(found, key=lambda group: (-len(group.face_ids), group.reason))
