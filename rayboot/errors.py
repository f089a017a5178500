"""Error classes of rayboot.

A message states what was expected, what was received, which record is concerned,
and what to do.
The command line turns :class:`RequestError` into exit status 2 and any other
:class:`RaybootError` into exit status 1.
"""

import difflib
from collections.abc import Iterable

__all__ = [
    "REJECT_STAGES",
    "AccessError",
    "BusyError",
    "ClusterError",
    "ConflictError",
    "DegenerateInputError",
    "DiskFullError",
    "FaceRejectedError",
    "RaybootError",
    "RequestError",
    "ShapeError",
    "StoreError",
    "UnfinishedDataError",
    "WeightsError",
    "did_you_mean",
]


REJECT_STAGES = ("read", "landmarks", "crop", "select", "reconstruct", "pose", "render")
"""Stages that can reject a photo."""


class RaybootError(Exception):
    """Base of every error that rayboot raises on purpose."""


class RequestError(RaybootError):
    """The request itself is wrong: unknown key, missing input, unwritable output."""


class ShapeError(RaybootError, ValueError):
    """An array does not have the expected shape or dtype."""


class DegenerateInputError(RaybootError, ValueError):
    """The geometry of an input admits no answer (empty volume, collinear points)."""


class WeightsError(RaybootError):
    """A weights file cannot be read, or its entries do not fit the network."""


class BusyError(RaybootError):
    """Another run writes to the same output."""


class ConflictError(RaybootError):
    """Another run moved the champion alias after this run was evaluated against the former one."""


class StoreError(RaybootError):
    """An object store was unavailable for longer than the retries of a run last."""


class AccessError(RaybootError):
    """A disk or store refuses a file, whatever the number of tries.

    Permissions, a read-only disk, a name that is too long, or an archived object.
    """


class DiskFullError(RaybootError):
    """The disk that a run writes to is full, or its quota is used up."""


class ClusterError(RaybootError):
    """A cluster lost machines or processes more often than a run restarts them."""


class UnfinishedDataError(RaybootError):
    """The run that writes a data set has not finished: what it writes last is missing."""


class FaceRejectedError(RaybootError):
    """One photo cannot become a pair; it is recorded as a row of the output, never dropped.

    Args:
        stage: stage that rejected the photo, one of :data:`REJECT_STAGES`.
        reason: short identifier that is counted in summaries, such as ``undecodable``.
        message: one sentence for the user.
    """

    def __init__(self, stage: str, reason: str, message: str) -> None:
        # Messages of the operating system may name files whose bytes are no UTF-8; tables cannot
        # contain these.
        message = message.encode("utf-8", "backslashreplace").decode("utf-8")
        super().__init__(f"{stage}: {reason}: {message}")
        self.stage = stage
        self.reason = reason
        self.message = message

    def __reduce__(self) -> tuple[type, tuple[str, str, str]]:
        # Exceptions are pickled between processes; by default only args[0] would be restored.
        return type(self), (self.stage, self.reason, self.message)


def did_you_mean(word: str, names: Iterable[str]) -> str:
    """Returns ``, did you mean A or B?`` for the end of a message, empty if no name is similar."""
    by_spelling = {name.lower(): name for name in names}
    similar = difflib.get_close_matches(word.lower(), by_spelling, n=2, cutoff=0.7)
    suggested = [by_spelling[spelling] for spelling in similar]
    return f", did you mean {' or '.join(suggested)}?" if suggested else ""
