"""Training and validation, decided by the group alone.

Frames of one video, or photos of one person, are nearly the same picture: on
both sides of a split they would make validation blind.
"""

import hashlib
from typing import Literal

__all__ = ["Split", "split_of"]

Split = Literal["train", "val"]


def split_of(group_id: str, seed: int, val_fraction: float) -> Split:
    """The side of a group; the same whatever else the data set holds."""
    digest = hashlib.sha256(f"{seed}\0{group_id}".encode()).digest()
    return "val" if int.from_bytes(digest[:8], "big") / 2**64 < val_fraction else "train"
