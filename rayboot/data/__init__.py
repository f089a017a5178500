"""Data sets: photos and landmarks, pairs, ground truth, meshes, and their manifests."""

from rayboot.data.pairs import read_pairs

__all__ = ["read_pairs"]
