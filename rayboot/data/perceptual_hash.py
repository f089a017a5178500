"""Whether two photo files show the same picture, recompressed or resized as it may be."""

import hashlib
import io
from collections.abc import Iterable
from typing import NamedTuple, Self

import imagehash
import numpy as np
import PIL.Image
import pyarrow as pa
import pyarrow.parquet as pq

from rayboot.io.storage import read_bytes, write_bytes

__all__ = ["HashIndex", "compute_perceptual_hash"]

_MAX_DISTANCE = 4
"""Bits of 64 that may differ: resized and recompressed photos differ by 2 at most, different
ones of a few hundred by 10 and more, so of a hundred thousand by little less."""

_SCHEMA = pa.schema(
    [
        ("face_id", pa.string()),
        ("content_hash", pa.string()),
        ("perceptual_hash", pa.uint64()),
    ]
)


def compute_perceptual_hash(photo: np.ndarray) -> int:
    """64 bits that change little with the scale and the compression of a photo.

    Args:
        photo: (H, W, 3) uint8.

    Source:
        The DCT hash of Zauner, Implementation and Benchmarking of Perceptual Image Hash
        Functions, 2010, as in imagehash.
    """
    bits = imagehash.phash(PIL.Image.fromarray(photo)).hash
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


class HashIndex(NamedTuple):
    """Pictures that others are compared with.

    Attributes:
        face_ids: their names.
        content_hashes: SHA-256 of their files, hex.
        perceptual_hashes: (N,) uint64.
    """

    face_ids: list[str]
    content_hashes: list[str]
    perceptual_hashes: np.ndarray

    @classmethod
    def of(cls, pictures: Iterable[tuple[str, bytes, np.ndarray]]) -> Self:
        """Of names, files' bytes and decoded photos (H, W, 3) uint8."""
        rows = [
            (name, hashlib.sha256(payload).hexdigest(), compute_perceptual_hash(photo))
            for name, payload, photo in pictures
        ]
        return cls([r[0] for r in rows], [r[1] for r in rows], np.array([r[2] for r in rows], "u8"))

    def find(self, content_hash: str, photo: np.ndarray) -> str | None:
        """The name of the picture that a photo shows; None for none.

        Args:
            content_hash: SHA-256 of its file, hex.
            photo: (H, W, 3) uint8.
        """
        if not self.face_ids:
            return None
        if content_hash in self.content_hashes:
            return self.face_ids[self.content_hashes.index(content_hash)]
        different = np.bitwise_count(
            self.perceptual_hashes ^ np.uint64(compute_perceptual_hash(photo))
        )
        nearest = int(np.argmin(different))
        return self.face_ids[nearest] if different[nearest] <= _MAX_DISTANCE else None

    def save(self, uri: str) -> None:
        """Writes them as a Parquet file."""
        buffer = io.BytesIO()
        pq.write_table(pa.table([*map(pa.array, self)], schema=_SCHEMA), buffer)
        write_bytes(uri, buffer.getvalue())

    @classmethod
    def load(cls, uri: str) -> Self:
        """Those of :meth:`save`."""
        table = pq.read_table(io.BytesIO(read_bytes(uri)))
        names, contents, hashes = (table[name] for name in _SCHEMA.names)
        return cls(names.to_pylist(), contents.to_pylist(), hashes.to_numpy())
