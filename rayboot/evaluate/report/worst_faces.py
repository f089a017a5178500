"""The faces that a report names one by one: the worst, and those without an error."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from rayboot.evaluate.datasets.base import ExcludedFace
from rayboot.evaluate.results import FaceError

__all__ = ["FailureGroup", "WorstFace", "group_failures", "pick_worst_faces"]


class WorstFace(NamedTuple):
    """A face with a large error.

    Attributes:
        face_id: Id of the face.
        yaw_deg: Yaw of the true pose; NaN where it is unknown.
        errors: Error of each model after ICP, %; NaN where it has none.
        reason: Why a model has no error; "" where all have one.
    """

    face_id: str
    yaw_deg: float
    errors: list[float]
    reason: str


class FailureGroup(NamedTuple):
    """Faces that have no error for the same reason.

    Attributes:
        reason: The reason in words.
        models: Models without an error; empty for faces that were excluded from the measurement.
        face_ids: Ids of the faces, sorted.
    """

    reason: str
    models: list[str]
    face_ids: list[str]


def pick_worst_faces(errors: Mapping[str, Sequence[FaceError]], count: int) -> list[WorstFace]:
    """Picks the faces with the largest error of the last model after ICP, worst first.

    A face without an error of the last model, but with one of another model, comes before all
    others. Faces without an error of any model do not tell models apart; :func:`group_failures`
    lists them.

    Args:
        errors: Errors by model, all in the same order of faces.
        count: Number of faces to pick.
    """
    faces = [
        WorstFace(
            by_model[0].face_id,
            by_model[0].yaw_deg,
            [100 * face.nme_icp for face in by_model],
            "; ".join(dict.fromkeys(face.reason for face in by_model if face.reason)),
        )
        for by_model in zip(*errors.values(), strict=True)
    ]
    measured = [face for face in faces if np.isfinite(face.errors).any()]
    return sorted(measured, key=_worst_first)[:count]


def _worst_first(face: WorstFace) -> tuple[float, str]:
    last = face.errors[-1]
    return (-last if np.isfinite(last) else -np.inf), face.face_id


def group_failures(
    errors: Mapping[str, Sequence[FaceError]], excluded: Sequence[ExcludedFace]
) -> list[FailureGroup]:
    """Groups the faces without an error by reason, the most frequent reason first.

    Args:
        errors: Errors by model, all in the same order of faces.
        excluded: Faces that were found but not measured.
    """
    face_ids: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for faces in zip(*errors.values(), strict=True):
        by_model = dict(zip(errors, faces, strict=True))
        for reason in dict.fromkeys(face.reason for face in faces if face.reason):
            failed = tuple(model for model, face in by_model.items() if face.reason == reason)
            face_ids.setdefault((reason, failed), []).append(faces[0].face_id)
    for face in excluded:
        face_ids.setdefault((face.reason, ()), []).append(face.face_id)
    groups = [
        FailureGroup(reason, list(models), sorted(ids))
        for (reason, models), ids in face_ids.items()
    ]
    return sorted(groups, key=lambda group: (-len(group.face_ids), group.reason))
