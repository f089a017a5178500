"""From the bytes of a photo to the crops of its faces."""

import threading
from typing import NamedTuple

import numpy as np

from rayboot.data.detector import Detection, FaceDetector, crop_from_detection
from rayboot.data.images import decode_photo
from rayboot.errors import FaceRejectedError
from rayboot.geometry.crop import warp_closeup, warp_photo

__all__ = ["CroppedFace", "FaceFinder", "FoundFaces"]


class CroppedFace(NamedTuple):
    """One face of a photo.

    Attributes:
        number: its number, the largest face being 1.
        crop_from_photo: (2, 3) affine from photo px to crop px.
        crop: (S, S, 3) uint8.
        closeup: (T, T, 3) uint8, the same in the photo's resolution; None if that is no finer, or
            not wanted.
    """

    number: int
    crop_from_photo: np.ndarray
    crop: np.ndarray
    closeup: np.ndarray | None = None


class FoundFaces(NamedTuple):
    """The faces of a photo.

    Attributes:
        width: width of the photo as it is viewed, px.
        height: height likewise.
        detections: all faces, the largest first.
        chosen: those that are to be reconstructed.
    """

    width: int
    height: int
    detections: list[Detection]
    chosen: list[CroppedFace]


class FaceFinder:
    """Decodes photos and detects faces; may be called from several threads.

    Args:
        max_megapixels: largest photo, millions of pixels.
        max_faces: largest number of faces that are chosen.

    Raises:
        RequestError: the package of the face detector is missing.
    """

    def __init__(self, max_megapixels: float, max_faces: int) -> None:
        self._max_pixels, self._max_faces = int(max_megapixels * 1e6), max_faces
        # A detector keeps the size of its input, so each thread has its own.
        self._local = threading.local()
        self._local.detector = FaceDetector()

    def find(
        self, photo: bytes, choice: str, size: int, *, with_closeups: bool = False
    ) -> FoundFaces:
        """Finds faces and crops the chosen ones.

        Args:
            photo: bytes of an image file from an untrusted source.
            choice: ``all``, ``largest``, or the number of a face as text.
            size: width and height of a crop, px.
            with_closeups: whether crops are also made in the photo's resolution.

        Raises:
            FaceRejectedError: stage ``read`` or ``landmarks`` as
                :func:`~rayboot.data.images.decode_photo` and
                :class:`~rayboot.data.detector.FaceDetector`; stage ``select``, reason
                ``no-such-face``.
        """
        image = decode_photo(photo, self._max_pixels)
        if not hasattr(self._local, "detector"):
            self._local.detector = FaceDetector()
        detections = self._local.detector.detect(image)
        chosen = []
        for number in self._select(choice, len(detections)):
            affine = crop_from_detection(detections[number - 1], size)
            closeup = warp_closeup(image, affine, size) if with_closeups else None
            chosen.append(CroppedFace(number, affine, warp_photo(image, affine, size), closeup))
        return FoundFaces(image.shape[1], image.shape[0], detections, chosen)

    def _select(self, choice: str, count: int) -> range:
        if choice == "largest":
            return range(1, 2)
        if choice == "all":
            return range(1, min(count, self._max_faces) + 1)
        number = int(choice)
        if not 1 <= number <= count:
            raise FaceRejectedError(
                "select",
                "no-such-face",
                f"face {number} was requested, and the photo has {count}; they are numbered from "
                "1, the largest first",
            )
        return range(number, number + 1)
