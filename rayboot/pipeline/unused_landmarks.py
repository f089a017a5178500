"""How many photos have landmark files that were not used, and why."""

from collections import Counter
from collections.abc import Mapping

import pyarrow as pa

from rayboot.counts import describe_count

__all__ = ["count_unused_landmarks", "describe_unused_landmarks"]


def count_unused_landmarks(rows: pa.Table) -> Counter[str]:
    """Returns the number of rows by the reason why a landmark file was not used."""
    if "unused_landmarks" not in rows.column_names:  # written by an earlier version
        return Counter()
    return Counter(rows["unused_landmarks"].drop_null().to_pylist())


def describe_unused_landmarks(counts: Mapping[str, int]) -> str:
    """Returns a sentence on landmark files that were not used; empty for none."""
    if not counts:
        return ""
    reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(counts.items()))
    return (
        f"{describe_count(sum(counts.values()), 'photo', 'has', 'have')} landmark files of an "
        f"unknown kind ({reasons}); the detector searched their faces"
    )
