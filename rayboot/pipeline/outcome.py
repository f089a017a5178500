"""What a run over photos ended in: an error where not one of them gave a face."""

from collections import Counter
from collections.abc import Mapping

from rayboot.errors import RaybootError

__all__ = ["require_faces"]

_NUM_REASONS = 3


def require_faces(num_faces: int, rejects: Mapping[tuple[str, str], int], records: str) -> None:
    """Refuses the outcome of a run without a single face, which is of no use to anyone.

    Args:
        num_faces: Number of faces.
        rejects: Number of rejects by (stage, reason).
        records: URI of the rows that tell the reason of each reject.

    Raises:
        RaybootError: There is no face; the message contains the most frequent reasons.
    """
    if num_faces:
        return
    counts = Counter(rejects)
    reasons = ", ".join(
        f"{count} {stage}/{reason}" for (stage, reason), count in counts.most_common(_NUM_REASONS)
    )
    more = ", ..." if len(counts) > _NUM_REASONS else ""
    total = counts.total()
    none = "not even the one photo" if total == 1 else f"none of {total} photos"
    raise RaybootError(f"{none} gave a face: {reasons}{more}; {records} tells why")
