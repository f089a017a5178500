import io
import json

import numpy as np
import PIL.Image
import pytest
import scipy.io
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from rayboot.data.landmarks import LANDMARK_SUFFIXES, read_landmarks
from rayboot.errors import FaceRejectedError
from rayboot.io.torch7 import write_torch7
from tests.legacy_torch7 import legacy_torch7

SIZE = (200, 160)
POINTS = np.random.default_rng(0).uniform(20, 140, (68, 2)).round(3)


def pts(points, header=True, ending="\n"):
    points = np.asarray(points) + 1  # 300-W counts pixels from 1
    rows = [f"{x:.3f} {y:.3f}" for x, y in points]
    if header:
        rows = ["version: 1", f"n_points:  {len(points)}", "{", *rows, "}"]
    return (ending.join(rows) + ending).encode()


def npy(points):
    buffer = io.BytesIO()
    np.save(buffer, points)
    return buffer.getvalue()


def mat(**values):
    buffer = io.BytesIO()
    scipy.io.savemat(buffer, values)
    return buffer.getvalue()


def encode_points(suffix, points):
    """Encodes points in the format of a suffix."""
    if suffix == ".mat":
        # MATLAB counts from 1; the third row is depth.
        return mat(pt3d_68=np.vstack([np.asarray(points).T + 1, np.zeros(len(points))]))
    if suffix in (".ljson", ".json"):
        group = {"landmarks": {"points": np.asarray(points)[:, ::-1].tolist()}}
        content = {"groups": {"LJSON": group}, "version": 3}
        return json.dumps(content if suffix == ".ljson" else np.asarray(points).tolist()).encode()
    if suffix in (".csv", ".txt"):
        return "".join(f"{x:.3f}, {y:.3f}\r\n" for x, y in points).encode()
    return {".t7": write_torch7, ".pts": pts, ".npy": npy}[suffix](points)


def rejection(payload, suffix, size=SIZE):
    """The reason for which landmarks are rejected."""
    with pytest.raises(FaceRejectedError) as caught:
        read_landmarks(payload, suffix, size)
    assert caught.value.stage == "landmarks"
    assert caught.value.message
    return caught.value.reason


@pytest.mark.parametrize("suffix", LANDMARK_SUFFIXES)
def test_every_format_is_read(suffix):
    landmarks = read_landmarks(encode_points(suffix, POINTS), suffix, SIZE)
    assert landmarks.shape == (68, 2) and landmarks.dtype == np.float64
    assert landmarks == pytest.approx(POINTS, abs=1e-9)


@pytest.mark.parametrize("dtype", ["f4", "f8", "i4"])
def test_tensors_of_every_type_are_read(dtype):
    points = POINTS.astype(dtype)
    assert (read_landmarks(write_torch7(points), ".t7", SIZE) == points).all()
    assert (read_landmarks(npy(points), ".npy", SIZE) == points).all()


def test_a_tensor_of_an_old_torch_is_read():
    assert (read_landmarks(legacy_torch7(POINTS), ".t7", SIZE) == POINTS).all()


@pytest.mark.parametrize("header", [True, False])
@pytest.mark.parametrize("ending", ["\n", "\r\n", "\n\n"])
def test_pts_come_with_and_without_header(header, ending):
    landmarks = read_landmarks(pts(POINTS, header, ending), ".pts", SIZE)
    assert landmarks == pytest.approx(POINTS)


@given(
    points=st_numpy.arrays(np.float64, (68, 2), elements=st.floats(0.5, 160)),
    transposed=st.booleans(),
    header=st.booleans(),
    ending=st.sampled_from(["\n", "\r\n", "\n\n"]),
    separator=st.sampled_from([" ", "  ", "\t"]),
)
def test_any_points_in_pts_are_read_back_exactly(points, transposed, header, ending, separator):
    rows = points.T if transposed else points
    lines = [separator.join(map(repr, row)) for row in rows.tolist()]
    if header:
        lines = ["version: 1", "n_points: 68", "{", *lines, "}"]
    payload = ending.join([*lines, ""]).encode()
    assert np.array_equal(read_landmarks(payload, ".pts", (160, 160)), points - 1)


def test_pts_may_begin_with_a_byte_order_mark():
    payload = b"\xef\xbb\xbf" + pts(POINTS, header=False)
    assert read_landmarks(payload, ".pts", SIZE) == pytest.approx(POINTS)


def test_mat_counts_from_one_in_any_dtype():
    whole = np.vstack([POINTS.T.round(), np.zeros(68)]).astype(np.uint8)
    landmarks = read_landmarks(mat(pt3d_68=whole), ".mat", SIZE)
    assert (landmarks == POINTS.round() - 1).all()


def test_points_in_columns_are_transposed():
    assert (read_landmarks(npy(POINTS.T), ".npy", SIZE) == POINTS).all()


@pytest.mark.parametrize("suffix", LANDMARK_SUFFIXES)
@pytest.mark.parametrize("count", [5, 21, 69])
def test_another_number_of_points_is_rejected(suffix, count):
    payload = encode_points(suffix, np.resize(POINTS, (count, 2)))
    # In JSON, lists of other lengths are not taken for landmarks.
    assert rejection(payload, suffix) == ("unreadable" if suffix == ".json" else "wrong-shape")


def test_another_shape_is_rejected():
    assert rejection(write_torch7(POINTS.ravel()), ".t7") == "wrong-shape"
    assert rejection(npy(np.zeros((68, 1))), ".npy") == "wrong-shape"
    assert rejection(npy(np.zeros((0, 68, 2))), ".npy") == "unreadable"
    assert rejection(pts(POINTS[:0]), ".pts") == "unreadable"


def test_a_file_without_points_is_rejected():
    assert rejection(write_torch7("a sentence"), ".t7") == "unreadable"
    assert rejection(write_torch7({"boxes": POINTS}), ".t7") == "unreadable"
    assert rejection(mat(vertices=POINTS), ".mat") == "unreadable"
    assert rejection(pts(POINTS) + b"1 2 3\n", ".pts") == "unreadable"


def test_a_pickle_is_rejected_without_being_loaded():
    class Trap:
        def __reduce__(self):
            return pytest.fail, ("the pickle was loaded",)

    payload = io.BytesIO()
    np.save(payload, np.array([Trap()], object), allow_pickle=True)
    assert rejection(payload.getvalue(), ".npy") == "unreadable"


@pytest.mark.parametrize("suffix", LANDMARK_SUFFIXES)
def test_damaged_files_are_rejected_or_read_but_never_end_a_run(suffix):
    rng = np.random.default_rng(0)
    whole = encode_points(suffix, POINTS)
    assert rejection(b"", suffix) in ("unreadable", "wrong-shape")
    assert rejection(whole[: len(whole) // 2], suffix) in ("unreadable", "wrong-shape")
    assert rejection(rng.bytes(500), suffix) in ("unreadable", "wrong-shape")
    stages = set()
    for _ in range(100):
        payload = bytearray(whole)
        for index in rng.integers(0, len(payload), 3):
            payload[index] = rng.integers(0, 256)
        try:
            landmarks = read_landmarks(bytes(payload), suffix, SIZE)
        except FaceRejectedError as error:
            stages.add(error.stage)
        else:
            assert landmarks.shape == (68, 2) and np.isfinite(landmarks).all()
    assert stages <= {"landmarks"}


def test_landmarks_outside_the_photo_are_rejected():
    assert rejection(npy(POINTS + 1000), ".npy") == "outside-image"
    assert rejection(npy(-POINTS), ".npy") == "outside-image"


def test_a_jaw_may_be_outside_the_photo():
    points = POINTS.copy()
    points[:17, 0] -= 300
    assert (read_landmarks(npy(points), ".npy", SIZE) == points).all()


@pytest.mark.parametrize(("folder", "suffix"), [("300W", ".pts"), ("AFLW2000", ".mat")])
def test_real_files_are_read(shared_dir, folder, suffix):
    files = sorted((shared_dir / "faces" / folder).rglob(f"*{suffix}"))[:120]
    assert len(files) > 100
    for file in files:
        photo = next(
            file.with_suffix(end) for end in (".jpg", ".png") if file.with_suffix(end).exists()
        )
        with PIL.Image.open(photo) as image:
            landmarks = read_landmarks(file.read_bytes(), suffix, image.size)
            assert (landmarks <= np.array(image.size) - 1).all() or suffix == ".mat", file
        eyes, mouth = landmarks[36:48].mean(axis=0), landmarks[48:].mean(axis=0)
        # The distance of eyes and mouth shows in any pose, but only in the right point order.
        assert np.linalg.norm(mouth - eyes) > 0.2 * np.ptp(landmarks, axis=0).max(), file
