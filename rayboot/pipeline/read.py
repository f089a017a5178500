"""Reading: a photo's bytes and landmarks to the crop that the network takes."""

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from rayboot.data.images import decode_photo, make_thumbnail
from rayboot.data.landmarks import read_landmarks
from rayboot.data.storage import read_bytes
from rayboot.errors import DegenerateInputError, FaceRejectedError
from rayboot.geometry.camera import gaze_angles
from rayboot.geometry.crop import apply_affine, landmark_crop, warp_photo
from rayboot.geometry.landmarks import head_rotation
from rayboot.pipeline.config import SelectionConfig
from rayboot.pipeline.rows import Row, map_rows, rows_of, table_of

if TYPE_CHECKING:
    from rayboot.data.detector import FaceDetector

__all__ = ["ReadPhotos"]


class ReadPhotos:
    """A listed photo to its crop, near-frontal ones only where landmarks tell.

    Reads    source_uri, landmarks_uri
    Adds     content_hash, crop (6,), image (raw bytes of (S, S, 3) uint8), landmarks
             (raw bytes of (68, 2) float64, crop px; None where a detector found the face)
             reject: what :mod:`rayboot.data.images` and :mod:`rayboot.data.landmarks` refuse,
             ``not-frontal``, ``no-landmarks``, ``no-face``

    Args:
        size: width and height of the crop.
        selection: near-frontal limits; None takes every pose.
        detect_faces: look for a face where there are no landmarks.
    """

    def __init__(self, size: int, selection: SelectionConfig | None, detect_faces: bool) -> None:
        self._size, self._selection = size, selection
        self._detect_faces = detect_faces
        self._detector: FaceDetector | None = None

    def __call__(self, table: pa.Table) -> pa.Table:
        """One batch of listed photos."""
        return table_of(map_rows(rows_of(table), self._process))

    def _process(self, row: Row) -> Row:
        if row["duplicate_of"] is not None:
            raise FaceRejectedError(
                "read", "duplicate", f"same bytes and landmarks as {row['duplicate_of']}"
            )
        payload = _fetch(row["source_uri"], "read")
        found: dict[str, Any] = {"content_hash": hashlib.sha256(payload).hexdigest()}
        try:
            photo = decode_photo(payload)
        except FaceRejectedError as error:
            return {**found, **_rejected(error)}
        try:
            affine, landmarks = self._locate(row, photo)
        except FaceRejectedError as error:
            return {**found, **_rejected(error), "thumbnail": make_thumbnail(photo)}
        return {
            **found,
            "crop": affine.ravel().tolist(),
            "image": warp_photo(photo, affine, self._size).tobytes(),
            "landmarks": None if landmarks is None else landmarks.tobytes(),
            "thumbnail": make_thumbnail(photo),
        }

    def _locate(self, row: Row, photo: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        if row["landmarks_uri"] is None:
            return self._detect(photo), None
        uri = row["landmarks_uri"]
        size = (photo.shape[1], photo.shape[0])
        landmarks = read_landmarks(
            _fetch(uri, "landmarks"), "." + uri.rsplit(".", 1)[-1].lower(), size
        )
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
        yaw, _ = np.degrees(gaze_angles(head_rotation(landmarks)[:, 2]))
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


def _fetch(uri: str, stage: str) -> bytes:
    try:
        return read_bytes(uri)
    except FileNotFoundError as error:
        raise FaceRejectedError(
            stage, "missing", f"{uri} was listed, but is not there any more, or is a broken link"
        ) from error


def _rejected(error: FaceRejectedError) -> Row:
    return {"stage": error.stage, "reason": error.reason, "message": error.message}
