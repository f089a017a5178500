"""The split into training and validation, decided by the group alone.

Frames of one video, or photos of one person, are nearly identical: on both sides of a split they
would hide overfitting from the validation.
"""

import hashlib
from typing import Literal

__all__ = ["Split", "assign_split"]

Split = Literal["train", "val"]
"""Name of a split."""


def assign_split(group_id: str, seed: int, val_fraction: float) -> Split:
    """Assigns a group to a split, independently of what else the data set contains.

    Args:
        group_id: Name of the group.
        seed: Seed of the split; another seed gives an independent one.
        val_fraction: Expected fraction of the groups in the validation split, 0 to 1. A larger
            fraction only adds groups to it.
    """
    digest = hashlib.sha256(f"{seed}\0{group_id}".encode()).digest()
    return "val" if int.from_bytes(digest[:8], "big") / 2**64 < val_fraction else "train"
