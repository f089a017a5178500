"""Fetching the bytes of listed photos and of their landmarks, whatever the layout."""

from collections import defaultdict
from collections.abc import Sequence

from rayboot.data.readers import FetchedPhoto, create_readers
from rayboot.data.readers.base import Row
from rayboot.errors import FaceRejectedError, RaybootError

__all__ = ["FetchedPhoto", "PhotoFetcher"]


class PhotoFetcher:
    """Fetches batches of listed photos; files that are read in succession are cached.

    Args:
        num_requests: Maximum number of concurrent requests for single files.
    """

    def __init__(self, num_requests: int = 16) -> None:
        self._num_requests = num_requests
        self._readers = create_readers()

    def fetch(self, rows: Sequence[Row]) -> list[FetchedPhoto | FaceRejectedError]:
        """Fetches the photos of rows of :data:`~rayboot.data.readers.PHOTO_SCHEMA`.

        Returns:
            In the rows' order the bytes, or for a file that has disappeared an error to raise
            for that row.

        Raises:
            StoreError: the store stays unavailable.
            RaybootError: a row is of no known layout.
        """
        indices_by_reader: dict[int, list[int]] = defaultdict(list)
        for index, row in enumerate(rows):
            indices_by_reader[self._reader_of(row)].append(index)
        fetched: dict[int, FetchedPhoto | FaceRejectedError] = {}
        for number, indices in indices_by_reader.items():
            reader = self._readers[number]
            photos = reader.fetch([rows[index] for index in indices], self._num_requests)
            fetched.update(zip(indices, photos, strict=True))
        return [fetched[index] for index in range(len(rows))]

    def _reader_of(self, row: Row) -> int:
        """Returns the number of the first reader that can fetch a row."""
        for number, reader in enumerate(self._readers):
            if reader.can_fetch(row):
                return number
        raise RaybootError(
            f"photo {row['face_id']}: no reader for {row['source_uri']} (offset "
            f"{row['source_offset']}); the listing was stored by a rayboot with further layouts"
        )
