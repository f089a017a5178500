"""Work that the actors of a stage did."""

from typing import NamedTuple

__all__ = ["StageUsage"]


class StageUsage(NamedTuple):
    """Work that all actors of one stage did together.

    Attributes:
        rows: Number of photos that passed.
        busy_s: Time spent on them, s.
        cpu_s: Processor time of all threads, s; receiving and returning batches included.
        num_bytes: Size of the rows that the stage returned.
    """

    rows: int
    busy_s: float
    cpu_s: float
    num_bytes: int

    def combined(self, other: "StageUsage") -> "StageUsage":
        """Sum of both."""
        return StageUsage(
            self.rows + other.rows,
            self.busy_s + other.busy_s,
            self.cpu_s + other.cpu_s,
            self.num_bytes + other.num_bytes,
        )
