"""Recognising a photo in other files, whether recompressed or resized."""

import hashlib
from collections.abc import Iterable
from typing import NamedTuple, Self

import imagehash
import numpy as np
import PIL.Image
import pyarrow as pa

from rayboot.io.parquet import read_table, write_table

__all__ = ["HashIndex", "compute_perceptual_hash"]

_MAX_DISTANCE = 4
"""Number of the 64 bits that may differ between two versions of one photo. Resized and
recompressed photos differ by at most 2 bits; among a few hundred different photos the nearest
differ by 10 bits or more, and among a hundred thousand by only slightly fewer."""

_SCHEMA = pa.schema(
    [
        ("face_id", pa.string()),
        ("content_hash", pa.string()),
        ("perceptual_hash", pa.uint64()),
    ]
)


def compute_perceptual_hash(photo: np.ndarray) -> int:
    """Computes 64 bits that change little with the scale and the compression of a photo.

    Args:
        photo: (H, W, 3) uint8.

    Source:
        The DCT hash of Zauner, Implementation and Benchmarking of Perceptual Image Hash
        Functions, 2010, as in imagehash.
    """
    bits = imagehash.phash(PIL.Image.fromarray(photo)).hash
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


class HashIndex(NamedTuple):
    """Hashes of a set of photos, for finding out whether another photo is one of them."""

    face_ids: list[str]
    """Names of the photos."""
    content_hashes: list[str]
    """SHA-256 of each photo's file, hexadecimal."""
    perceptual_hashes: np.ndarray
    """(N,) uint64, from :func:`compute_perceptual_hash`."""

    @classmethod
    def build(cls, photos: Iterable[tuple[str, bytes, np.ndarray]]) -> Self:
        """Builds the index of photos, each given as name, file content and (H, W, 3) uint8."""
        rows = [
            (name, hashlib.sha256(payload).hexdigest(), compute_perceptual_hash(photo))
            for name, payload, photo in photos
        ]
        return cls([r[0] for r in rows], [r[1] for r in rows], np.array([r[2] for r in rows], "u8"))

    def find(self, content_hash: str, photo: np.ndarray) -> str | None:
        """Returns the name of the indexed photo that a photo is a version of, or None.

        Args:
            content_hash: SHA-256 of the photo's file, hexadecimal.
            photo: (H, W, 3) uint8.
        """
        if not self.face_ids:
            return None
        if content_hash in self.content_hashes:
            return self.face_ids[self.content_hashes.index(content_hash)]
        distances = np.bitwise_count(
            self.perceptual_hashes ^ np.uint64(compute_perceptual_hash(photo))
        )
        nearest = int(np.argmin(distances))
        return self.face_ids[nearest] if distances[nearest] <= _MAX_DISTANCE else None

    def save(self, uri: str) -> None:
        """Writes the index as a Parquet file."""
        write_table(uri, pa.table([*map(pa.array, self)], schema=_SCHEMA))

    @classmethod
    def load(cls, uri: str) -> Self:
        """Reads an index that :meth:`save` has written."""
        table = read_table(uri)
        names, contents, hashes = (table[name] for name in _SCHEMA.names)
        return cls(names.to_pylist(), contents.to_pylist(), hashes.to_numpy())
