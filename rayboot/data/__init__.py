"""Names of columns, readers and atomic writers of data sets."""

from rayboot.data.pairs import read_pairs

__all__ = ["read_pairs"]
