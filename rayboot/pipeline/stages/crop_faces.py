"""Reading: a photo's bytes and landmarks to the crop that the network takes."""

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from rayboot.data.fetch import FetchedPhoto, PhotoFetcher
from rayboot.data.images import decode_photo, make_thumbnail
from rayboot.data.landmarks import read_landmarks
from rayboot.data.perceptual_hash import HashIndex
from rayboot.errors import DegenerateInputError, FaceRejectedError
from rayboot.geometry.camera import gaze_angles
from rayboot.geometry.crop import apply_affine, landmark_crop, warp_photo
from rayboot.geometry.landmarks68 import rotation_from_landmarks
from rayboot.pipeline.generate_config import SelectionConfig
from rayboot.pipeline.stages.records import Row, map_rows, rows_to_table, table_to_rows

if TYPE_CHECKING:
    from rayboot.data.detector import FaceDetector

__all__ = ["CropFaces", "reject_crop"]


class CropFaces:
    """A listed photo to its crop, near-frontal ones only where landmarks tell.

    Reads    source_uri, landmarks_uri and where in them the photo lies
    Adds     content_hash, crop (6,), image (raw bytes of (S, S, 3) uint8), landmarks
             (raw bytes of (68, 2) float64, crop px; None where a detector found the face)
             reject: what :mod:`rayboot.data.images` and :mod:`rayboot.data.landmarks` refuse,
             ``duplicate``, ``test-picture``, ``not-frontal``, ``no-landmarks``, ``no-face``

    Args:
        size: width and height of the crop.
        selection: near-frontal limits; None takes every pose.
        detect_faces: look for a face where there are no landmarks.
        test_pictures: URI of :class:`rayboot.data.perceptual_hash.HashIndex`, none of which
            may take part under another name.
    """

    def __init__(
        self,
        size: int,
        selection: SelectionConfig | None,
        detect_faces: bool,
        test_pictures: str | None = None,
    ) -> None:
        self._size, self._selection = size, selection
        self._detect_faces = detect_faces
        self._detector: FaceDetector | None = None
        self._fetcher = PhotoFetcher()
        self._tested = HashIndex.load(test_pictures) if test_pictures else None

    def __call__(self, table: pa.Table) -> pa.Table:
        """One batch of listed photos."""
        listed = table.to_pylist()
        wanted = [row for row in listed if row["duplicate_of"] is None]
        fetched = {
            row["face_id"]: photo
            for row, photo in zip(wanted, self._fetcher.fetch(wanted), strict=True)
        }
        rows = table_to_rows(table)
        return rows_to_table(map_rows(rows, lambda row: self._process(row, fetched)))

    def _process(self, row: Row, fetched: Mapping[str, FetchedPhoto | FaceRejectedError]) -> Row:
        if row["duplicate_of"] is not None:
            raise FaceRejectedError(
                "read", "duplicate", f"same bytes and landmarks as {row['duplicate_of']}"
            )
        got = fetched[row["face_id"]]
        if isinstance(got, FaceRejectedError):
            raise got
        found: dict[str, Any] = {"content_hash": hashlib.sha256(got.photo).hexdigest()}
        try:
            photo = decode_photo(got.photo)
        except FaceRejectedError as error:
            return {**found, **_rejected(error)}
        try:
            self._require_untested(found["content_hash"], photo)
            affine, landmarks = self._locate(got, photo)
        except FaceRejectedError as error:
            return {**found, **_rejected(error), "thumbnail": make_thumbnail(photo)}
        return {
            **found,
            "crop": affine.ravel().tolist(),
            "image": warp_photo(photo, affine, self._size).tobytes(),
            "landmarks": None if landmarks is None else landmarks.tobytes(),
            "thumbnail": make_thumbnail(photo),
        }

    def _require_untested(self, content_hash: str, photo: np.ndarray) -> None:
        same = self._tested.find(content_hash, photo) if self._tested else None
        if same is not None:
            raise FaceRejectedError(
                "select", "test-picture", f"shows the same picture as {same}, kept for testing"
            )

    def _locate(self, got: FetchedPhoto, photo: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        if got.landmarks is None:
            return self._detect(photo), None
        size = (photo.shape[1], photo.shape[0])
        landmarks = read_landmarks(got.landmarks, got.landmarks_suffix, size)
        try:
            affine = landmark_crop(landmarks, self._size)
            self._require_frontal(landmarks)
        except DegenerateInputError as error:
            raise FaceRejectedError("landmarks", "degenerate", str(error)) from error
        return affine, apply_affine(affine, landmarks)

    def _require_frontal(self, landmarks: np.ndarray) -> None:
        if self._selection is None:
            return
        # The landmarks' own estimate is rough; the shape's is asked again later.
        yaw, _ = np.degrees(gaze_angles(rotation_from_landmarks(landmarks)[:, 2]))
        limit = self._selection.max_yaw_deg
        if abs(yaw) > limit:
            raise FaceRejectedError(
                "select", "not-frontal", f"the landmarks' yaw {yaw:.0f} degrees exceeds {limit:g}"
            )

    def _detect(self, photo: np.ndarray) -> np.ndarray:
        if not self._detect_faces:
            raise FaceRejectedError(
                "landmarks",
                "no-landmarks",
                "no landmark file stands beside the photo and detect_faces is off",
            )
        from rayboot.data.detector import FaceDetector, crop_from_detection

        self._detector = self._detector or FaceDetector()
        return crop_from_detection(self._detector.detect(photo)[0], self._size)


def reject_crop(photo: pa.Table, reason: str, message: str) -> pa.Table:
    """The row of a photo (a table of one) whose reading ended the process."""
    (row,) = table_to_rows(photo)
    return rows_to_table([{**row, "stage": "read", "reason": reason, "message": message}])


def _rejected(error: FaceRejectedError) -> Row:
    return {"stage": error.stage, "reason": error.reason, "message": error.message}
