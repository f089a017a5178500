"""Reading stage: bytes and landmarks of a photo to the crop that the network receives."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa

from rayboot.data.fetch import FetchedPhoto, PhotoFetcher
from rayboot.data.images import decode_photo, encode_image, make_thumbnail, read_orientation
from rayboot.data.landmarks import UNKNOWN_KIND_REASONS, read_landmarks
from rayboot.data.perceptual_hash import HashIndex
from rayboot.errors import DegenerateInputError, FaceRejectedError
from rayboot.geometry.camera import gaze_angles
from rayboot.geometry.crop import apply_affine, landmark_crop, warp_closeup, warp_photo
from rayboot.geometry.landmarks68 import rotation_from_landmarks
from rayboot.pipeline.generate_config import SelectionConfig
from rayboot.pipeline.stages.records import Row, map_rows, rows_to_table, table_to_rows

if TYPE_CHECKING:
    from rayboot.data.detector import FaceDetector

__all__ = ["CropFaces", "reject_crop"]


class _LocatedFace(NamedTuple):
    """The face of a photo that is cropped, and the others.

    Attributes:
        affine: (2, 3) from photo px to crop px.
        landmarks: (68, 2) in crop px; None where a detector found the face.
        num_people: Number of faces that the detector found; None where landmarks mark the face.
        others: Affines of the smaller faces that the detector found.
    """

    affine: np.ndarray
    landmarks: np.ndarray | None
    num_people: int | None
    others: Sequence[np.ndarray] = ()


class CropFaces:
    """Listed photo to face crop; where landmarks give the pose, only near-frontal faces pass.

    Reads    source_uri, landmarks_uri and the position of the photo in these files
    Adds     content_hash, crop (6,), image (raw bytes of (S, S, 3) uint8), landmarks
             (raw bytes of (68, 2) float64, crop px; None where a detector found the face)
             num_people: number of faces that the detector found, of which the largest is cropped
             unused_landmarks: why the detector was asked although there is a landmark file, a
             reason of :data:`rayboot.data.landmarks.UNKNOWN_KIND_REASONS`
             closeup: JPEG of the crop in the photo's resolution, if ``with_closeups`` is set and
             that is finer
             faces: crop, image and closeup of every face, the largest first, if ``all_faces`` is
             set and a detector found them; the row's own are then None
             reject: the reasons of :mod:`rayboot.data.images` and
             :mod:`rayboot.data.landmarks`, and ``duplicate``, ``test-picture``,
             ``not-frontal``, ``no-landmarks``, ``no-face``, ``face-too-small``

    Args:
        size: width and height of the crop.
        selection: near-frontal limits; None accepts every pose.
        detect_faces: whether a face is detected in photos without landmarks.
        test_hashes: URI of the :class:`rayboot.data.perceptual_hash.HashIndex` of the test
            photos; a photo that shows one of them, under whatever name, is rejected.
        all_faces: whether every face that a detector finds is cropped, instead of the largest.
        with_closeups: whether crops are also made in the photo's resolution.
    """

    def __init__(
        self,
        size: int,
        selection: SelectionConfig | None,
        detect_faces: bool,
        test_hashes: str | None = None,
        all_faces: bool = False,
        with_closeups: bool = False,
    ) -> None:
        self._size, self._selection = size, selection
        self._detect_faces, self._all_faces = detect_faces, all_faces
        self._with_closeups = with_closeups
        self._detector: FaceDetector | None = None
        self._fetcher = PhotoFetcher()
        self._test_hashes = HashIndex.load(test_hashes) if test_hashes else None

    def __call__(self, table: pa.Table) -> pa.Table:
        """Fetches, decodes and crops one batch of listed photos."""
        unique = [row for row in table.to_pylist() if row["duplicate_of"] is None]
        fetched = {
            row["face_id"]: photo
            for row, photo in zip(unique, self._fetcher.fetch(unique), strict=True)
        }
        rows = table_to_rows(table)
        return rows_to_table(map_rows(rows, lambda row: self._process(row, fetched)))

    def _process(self, row: Row, fetched: Mapping[str, FetchedPhoto | FaceRejectedError]) -> Row:
        if row["duplicate_of"] is not None:
            raise FaceRejectedError(
                "read",
                "duplicate",
                f"the photo has the same bytes and landmarks as {row['duplicate_of']}",
            )
        files = fetched[row["face_id"]]
        if isinstance(files, FaceRejectedError):
            raise files
        columns: dict[str, Any] = {"content_hash": hashlib.sha256(files.photo).hexdigest()}
        try:
            photo = decode_photo(files.photo)
        except FaceRejectedError as error:
            return {**columns, **_reject_columns(error)}
        try:
            self._require_not_test_photo(columns["content_hash"], photo)
            landmarks, unused = self._read_landmarks(files, photo)
            columns["unused_landmarks"] = unused and unused.reason
            located = self._locate_face(photo, landmarks, unused)
        except FaceRejectedError as error:
            return {**columns, **_reject_columns(error), "thumbnail": make_thumbnail(photo)}
        columns.update(self._crop_faces(photo, located))
        return {
            **columns,
            "num_people": located.num_people,
            "landmarks": None if located.landmarks is None else located.landmarks.tobytes(),
            "thumbnail": make_thumbnail(photo),
        }

    def _crop_faces(self, photo: np.ndarray, located: _LocatedFace) -> Row:
        """Returns the columns of the crop, or of the crops of all faces."""
        affines = [located.affine, *located.others]
        faces = [
            {
                "crop": affine.ravel().tolist(),
                "image": warp_photo(photo, affine, self._size).tobytes(),
                "closeup": self._encode_closeup(photo, affine),
            }
            for affine in (affines if self._all_faces else affines[:1])
        ]
        several = self._all_faces and located.num_people is not None
        return {"faces": faces} if several else faces[0]

    def _encode_closeup(self, photo: np.ndarray, affine: np.ndarray) -> bytes | None:
        closeup = warp_closeup(photo, affine, self._size) if self._with_closeups else None
        return None if closeup is None else encode_image(closeup, "jpeg")

    def _require_not_test_photo(self, content_hash: str, photo: np.ndarray) -> None:
        if self._test_hashes is None:
            return
        test_photo = self._test_hashes.find(content_hash, photo)
        if test_photo is not None:
            raise FaceRejectedError(
                "select",
                "test-picture",
                f"the photo shows the same image as {test_photo}, which is reserved for testing",
            )

    def _read_landmarks(
        self, files: FetchedPhoto, photo: np.ndarray
    ) -> tuple[np.ndarray | None, FaceRejectedError | None]:
        """Returns the landmarks of a photo, or why its landmark file is not used.

        Files of any content are next to photos, such as captions, or landmarks of other kinds; the
        detector then finds the face, if it may.
        """
        if files.landmarks is None:
            return None, None
        size = (photo.shape[1], photo.shape[0])
        orientation = read_orientation(files.photo)
        try:
            return read_landmarks(files.landmarks, files.landmarks_suffix, size, orientation), None
        except FaceRejectedError as error:
            if error.reason in UNKNOWN_KIND_REASONS and self._detect_faces:
                return None, error
            raise

    def _locate_face(
        self, photo: np.ndarray, landmarks: np.ndarray | None, unused: FaceRejectedError | None
    ) -> _LocatedFace:
        if landmarks is None:
            try:
                return self._detect_face(photo)
            except FaceRejectedError as error:
                if unused is None:
                    raise
                message = f"{error.message}; its landmark file is not used: {unused.message}"
                raise FaceRejectedError(error.stage, error.reason, message) from error
        try:
            affine = landmark_crop(landmarks, self._size)
            self._require_frontal(landmarks)
        except DegenerateInputError as error:
            raise FaceRejectedError("landmarks", "degenerate", str(error)) from error
        return _LocatedFace(affine, apply_affine(affine, landmarks), None)

    def _require_frontal(self, landmarks: np.ndarray) -> None:
        if self._selection is None:
            return
        # A pose from landmarks is a rough estimate; the render stage checks that of the shape.
        yaw, _ = np.degrees(gaze_angles(rotation_from_landmarks(landmarks)[:, 2]))
        limit = self._selection.max_yaw_deg
        if abs(yaw) > limit:
            raise FaceRejectedError(
                "select",
                "not-frontal",
                f"the yaw of the landmarks is {yaw:.0f} degrees, which exceeds the limit of "
                f"{limit:g}",
            )

    def _detect_face(self, photo: np.ndarray) -> _LocatedFace:
        if not self._detect_faces:
            raise FaceRejectedError(
                "landmarks",
                "no-landmarks",
                "the photo has no landmark file next to it, and detect_faces is off",
            )
        from rayboot.data.detector import FaceDetector, crop_from_detection

        self._detector = self._detector or FaceDetector()
        faces = self._detector.detect(photo)
        largest, *others = (crop_from_detection(face, self._size) for face in faces)
        return _LocatedFace(largest, None, len(faces), others)


def reject_crop(photo: pa.Table, reason: str, message: str) -> pa.Table:
    """Returns the reject of a photo (a table of one row) that ended the process of the stage."""
    (row,) = table_to_rows(photo)
    return rows_to_table([{**row, "stage": "read", "reason": reason, "message": message}])


def _reject_columns(error: FaceRejectedError) -> Row:
    return {"stage": error.stage, "reason": error.reason, "message": error.message}
