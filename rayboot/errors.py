"""Error classes of rayboot.

A message says what was expected, what came, which record, and what to do.
The command line turns :class:`RequestError` into exit status 2 and any other
:class:`RaybootError` into exit status 1.
"""

__all__ = [
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
]


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
    """Somebody else moved the champion while this run measured itself against the former one."""


class StoreError(RaybootError):
    """An object store gave no answer for longer than a run waits."""


class DiskFullError(RaybootError):
    """There is no space left where a run writes."""


class ClusterError(RaybootError):
    """A cluster lost machines or processes more often than a run starts them again."""


class UnfinishedDataError(RaybootError):
    """A data set has no ``manifest.json``: the run that writes it has not ended."""


class FaceRejectedError(RaybootError):
    """One photograph cannot become a pair; carried as a row, never lost.

    Args:
        stage: where it happened: ``read``, ``landmarks``, ``crop``, ``select``,
            ``reconstruct``, ``pose`` or ``render``.
        reason: a short fixed word that is counted, such as ``undecodable``.
        message: one sentence for a person.
    """

    def __init__(self, stage: str, reason: str, message: str) -> None:
        super().__init__(f"{stage}: {reason}: {message}")
        self.stage = stage
        self.reason = reason
        self.message = message

    def __reduce__(self) -> tuple[type, tuple[str, str, str]]:
        # Exceptions cross process borders; the default replays args[0] alone.
        return type(self), (self.stage, self.reason, self.message)
