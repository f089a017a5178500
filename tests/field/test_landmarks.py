"""Landmark files as data sets and tools write them, all of one face."""

import io
import json
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import scipy.io

from rayboot.data.images import decode_photo, read_orientation
from rayboot.data.landmarks import read_landmarks
from rayboot.data.readers import list_photos
from rayboot.errors import FaceRejectedError
from rayboot.geometry.camera import rotation_yaw_pitch
from rayboot.geometry.crop import landmark_crop
from rayboot.geometry.head_model import mean_landmarks
from rayboot.io.torch7 import write_torch7
from rayboot.pipeline.listing import list_inputs, mark_duplicates
from rayboot.pipeline.stages.crop_faces import CropFaces

SIZE = (320, 240)


def make_face(yaw_deg: float = 10.0) -> np.ndarray:
    """Landmarks (68, 2) of the mean face in px from 0, upright in the middle of the photo."""
    turned = mean_landmarks() @ rotation_yaw_pitch(np.radians(yaw_deg), 0.0).T
    face = 70 * (turned - turned.mean(axis=0))[:, :2] * (1, -1) + (150.0, 120.0)
    return face.round(3)


FACE = make_face()


def npy(points: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, points)
    return buffer.getvalue()


def mat(**values: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    scipy.io.savemat(buffer, values)
    return buffer.getvalue()


def lines(rows: np.ndarray, separator: str = " ", ending: str = "\n") -> str:
    return "".join(separator.join(f"{v:.3f}" for v in row) + ending for row in rows)


def with_depth(points: np.ndarray) -> np.ndarray:
    return np.column_stack([points, np.linspace(-30, 60, len(points))])


HEADER, FOOTER = "version: 1\nn_points:  68\n{\n", "}\n"
FROM_1 = FACE + 1
INDEXED = np.column_stack([np.arange(68), FACE])
SMALL = np.tile(FACE, (3, 1, 1)) * np.array([0.2, 1.0, 0.5])[:, None, None]
MENPO = {"groups": {"PTS": {"landmarks": {"points": FACE[:, ::-1].tolist()}}}, "version": 3}
DICTS = [{"x": x, "y": y, "score": 1} for x, y in FACE]
OPENFACE = ", ".join(
    ["frame", "confidence", *(f"x_{i}" for i in range(68)), *(f"y_{i}" for i in range(68))]
)
OPENFACE += "\n1, 0.98, " + ", ".join(f"{v:.3f}" for v in FACE.T.ravel())

FILES = {
    "LS3D-W": (".t7", write_torch7(FACE)),
    "300W-LP in Torch": (".t7", write_torch7({"2D": FACE + 5, "3D": FACE})),
    "300-W": (".pts", (HEADER + lines(FROM_1) + FOOTER).encode()),
    "300-W without header": (".pts", lines(FROM_1).encode()),
    "300-W from Windows": (".pts", b"\xef\xbb\xbf" + lines(FROM_1, "\t", "\r\n").encode()),
    "300-W of a German locale": (".pts", lines(FROM_1).replace(".", ",").encode()),
    "AFLW2000-3D": (".mat", mat(pt3d_68=with_depth(FROM_1).T, pt2d=np.full((2, 21), -1.0))),
    "300W-LP": (".mat", mat(pt2d=FROM_1.T, roi=np.array([[1, 450, 1, 450]]))),
    "300W-LP's folder": (".mat", mat(pts_2d=FROM_1 + 5, pts_3d=FROM_1)),
    "face-alignment, 2D": (".npy", npy(FACE.astype(np.float32))),
    "face-alignment, 3D": (".npy", npy(with_depth(FACE))),
    "face-alignment, all faces": (".npy", npy(SMALL)),
    "menpo": (".ljson", json.dumps(MENPO).encode()),
    "menpo as json": (".json", json.dumps(MENPO).encode()),
    "a list of faces": (".json", json.dumps({"faces": [{"landmarks": FACE.tolist()}]}).encode()),
    "a list of numbers": (".json", json.dumps([{"keypoints": FACE.ravel().tolist()}]).encode()),
    "named coordinates": (".json", json.dumps({"box": [1, 2, 3, 4], "points": DICTS}).encode()),
    "csv with header": (".csv", ("x,y,confidence\n" + lines(with_depth(FACE), ",")).encode()),
    "csv with indices": (".csv", ("id;x;y\n" + lines(INDEXED, ";").replace(".", ",")).encode()),
    "csv with names": (
        ".csv",
        "".join(f"p{i},{x},{y}\n" for i, (x, y) in enumerate(FACE)).encode(),
    ),
    "csv of OpenFace": (".csv", OPENFACE.encode()),
    "txt": (".txt", lines(FACE).encode()),
    "txt with commas": (".txt", lines(FACE, ", ", "\r\n").encode()),
    "txt in UTF-16": (".txt", lines(FACE).encode("utf-16")),
    "txt of one line": (".txt", ("photo.jpg " + lines(FACE.reshape(1, -1))).encode()),
}


@pytest.mark.parametrize("name", FILES)
def test_one_face_in_all_formats_gives_one_crop(name: str) -> None:
    suffix, payload = FILES[name]
    landmarks = read_landmarks(payload, suffix, SIZE)
    # Half a pixel would be ten thousand times as much.
    assert landmarks == pytest.approx(FACE, abs=1e-4)
    assert landmark_crop(landmarks, 96) == pytest.approx(landmark_crop(FACE, 96), abs=1e-4)


def test_points_of_300w_are_clipped_to_the_last_pixel(shared_dir: Path) -> None:
    """Annotators' points beyond the border are at the photo's width, so counting starts at 1."""
    num_clipped = 0
    for file in sorted((shared_dir / "faces/300W/helen").rglob("*.pts")):
        with PIL.Image.open(file.with_suffix(".jpg")) as photo:
            width, height = photo.size
        landmarks = read_landmarks(file.read_bytes(), ".pts", (width, height))
        assert (landmarks <= (width - 1, height - 1)).all(), file
        num_clipped += int((landmarks == (width - 1, height - 1)).any(axis=1).sum())
    assert num_clipped > 10


def wflw98(face: np.ndarray) -> np.ndarray:
    """98 points of WFLW, whose shared points are those of ``face`` and whose others are between."""
    points = np.full((98, 2), 140.0)
    points[0:33:2], points[1:32:2] = face[:17], (face[:16] + face[1:17]) / 2
    points[33:38], points[42:47], points[51:60] = face[17:22], face[22:27], face[27:36]
    points[[60, 61, 63, 64, 65, 67]] = face[36:42]
    points[[68, 69, 71, 72, 73, 75]] = face[42:48]
    points[76:96] = face[48:]
    return points


def jd106(face: np.ndarray) -> np.ndarray:
    points = np.full((106, 2), 140.0)
    points[0:33:2], points[1:32:2] = face[:17], (face[:16] + face[1:17]) / 2
    points[33:64], points[84:104] = face[17:48], face[48:]
    return points


@pytest.mark.parametrize("scheme", [wflw98, jd106])
def test_68_of_98_and_of_106_points_are_selected(scheme) -> None:  # type: ignore[no-untyped-def]
    assert read_landmarks(npy(scheme(FACE)), ".npy", SIZE) == pytest.approx(FACE)


def test_106_points_of_another_order_are_not_taken_for_a_face() -> None:
    shuffled = np.random.default_rng(0).permutation(jd106(FACE))
    with pytest.raises(FaceRejectedError, match="JD-landmark") as caught:
        read_landmarks(npy(shuffled), ".npy", SIZE)
    assert caught.value.reason == "wrong-shape"


@pytest.mark.parametrize("yaw_deg", [0, 30, 60])
def test_51_points_get_the_jaw_of_the_mean_face(yaw_deg: float) -> None:
    face = make_face(yaw_deg)
    landmarks = read_landmarks(npy(face[17:]), ".npy", SIZE)
    assert (landmarks[17:] == face[17:]).all()
    # The mean head's jaw is larger than people's, which the completion corrects.
    assert np.abs(landmarks[:17] - face[:17]).max() < 12
    scale = landmark_crop(landmarks, 96)[0, 0] / landmark_crop(face, 96)[0, 0]
    assert 0.98 < scale < 1.08


@pytest.mark.parametrize("mark", [(0, 0), (-1, -1), (np.nan, np.nan), (np.inf, 3)])
@pytest.mark.parametrize("suffix", [".npy", ".txt"])
def test_unseen_points_are_those_of_the_mean_face(mark: tuple, suffix: str) -> None:
    face = make_face(40)
    hidden = [*range(22, 27), *range(42, 48), 34, 35, 53, 54, 55, 64]
    stored = face.copy()
    stored[hidden] = mark
    payload = npy(stored) if suffix == ".npy" else lines(stored).encode()
    landmarks = read_landmarks(payload, suffix, SIZE)
    assert np.delete(landmarks, hidden, axis=0) == pytest.approx(np.delete(face, hidden, axis=0))
    # The jaw by which the camera is fitted is smaller than this face's.
    assert np.abs(landmarks[hidden] - face[hidden]).max() < 3


def test_a_face_that_was_hardly_seen_is_no_face() -> None:
    for stored in (np.zeros((68, 2)), np.where(np.arange(68)[:, None] < 20, FACE, -1)):
        with pytest.raises(FaceRejectedError) as caught:
            read_landmarks(npy(stored), ".npy", SIZE)
        assert caught.value.reason == "unseen"


def stored_photo(orientation: int) -> tuple[bytes, np.ndarray]:
    """A photo with an orientation in its EXIF, and the place of each landmark's pixel in it.

    The pixel of each landmark is white, so that the place is the image library's, not ours.
    """
    undo = {
        2: PIL.Image.Transpose.FLIP_LEFT_RIGHT,
        3: PIL.Image.Transpose.ROTATE_180,
        4: PIL.Image.Transpose.FLIP_TOP_BOTTOM,
        5: PIL.Image.Transpose.TRANSPOSE,
        6: PIL.Image.Transpose.ROTATE_90,
        7: PIL.Image.Transpose.TRANSVERSE,
        8: PIL.Image.Transpose.ROTATE_270,
    }
    places = []
    for x, y in np.rint(FACE).astype(int):
        dot = PIL.Image.new("L", SIZE)
        dot.putpixel((x, y), 255)
        turned = np.asarray(dot.transpose(undo[orientation]) if orientation > 1 else dot)
        places.append(np.argwhere(turned)[0][::-1])
    shown = PIL.Image.effect_noise(SIZE, 40)
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    stored = shown.transpose(undo[orientation]) if orientation > 1 else shown
    stored.save(buffer, "JPEG", exif=exif)
    return buffer.getvalue(), np.array(places, float)


@pytest.mark.parametrize("orientation", [1, 3, 4, 5, 6, 7, 8])
def test_landmarks_of_the_stored_pixels_are_turned_with_the_photo(orientation: int) -> None:
    payload, stored = stored_photo(orientation)
    photo = decode_photo(payload)
    size = photo.shape[1::-1]
    assert size == SIZE and read_orientation(payload) == orientation
    if orientation in (4, 5, 7):
        # A detector that saw the mirrored pixels calls the other eye the first.
        stored = mirrored_order(stored)
    landmarks = read_landmarks(npy(stored), ".npy", size, orientation)
    assert landmarks == pytest.approx(np.rint(FACE))
    # Landmarks of the photo as it is shown stay.
    assert read_landmarks(npy(FACE), ".npy", size, orientation) == pytest.approx(FACE)


def mirrored_order(points: np.ndarray) -> np.ndarray:
    groups = [range(16, -1, -1), range(26, 16, -1), range(27, 31), range(35, 30, -1)]
    eyes = [45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40]
    mouth = [*range(54, 47, -1), *range(59, 54, -1), *range(64, 59, -1), 67, 66, 65]
    return points[[*(i for group in groups for i in group), *eyes, *mouth]]


def test_photos_of_300w_lp_find_their_landmarks(tmp_path: Path) -> None:
    for folder in ("AFW", "landmarks/AFW"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "AFW/a_0.jpg").write_bytes(b"photo")
    (tmp_path / "AFW/a_0.mat").write_bytes(mat(pt2d=FROM_1.T + 5))
    (tmp_path / "landmarks/AFW/a_0_pts.mat").write_bytes(mat(pts_3d=FROM_1))
    (row,) = list_photos(str(tmp_path)).to_pylist()
    assert row["landmarks_uri"].endswith("landmarks/AFW/a_0_pts.mat")


def test_landmarks_of_an_unknown_kind_leave_the_face_to_the_detector(
    synthetic_set: str, tmp_path: Path
) -> None:
    photo = Path(list_photos(synthetic_set)["source_uri"][0].as_py()).read_bytes()
    text = "A description of a person that is long enough to hold the coordinates of landmarks. "
    files = {
        "caption.txt": (text * 4).encode(),
        "five.npy": npy(FACE[:5]),
        "zero.npy": npy(0 * FACE),
    }
    for number, (name, payload) in enumerate(files.items()):
        (tmp_path / name).write_bytes(payload)
        (tmp_path / name).with_suffix(".jpg").write_bytes(photo + bytes([number]))
    listing = mark_duplicates(list_inputs(str(tmp_path)))
    rows = CropFaces(96, None, detect_faces=True)(listing).to_pylist()
    assert {row["face_id"]: row["unused_landmarks"] for row in rows} == {
        "caption.jpg": "unreadable",
        "five.jpg": "wrong-shape",
        "zero.jpg": "unseen",
    }
    assert all(row["reason"] is None and row["num_people"] == 1 for row in rows)
    rows = CropFaces(96, None, detect_faces=False)(listing).to_pylist()
    assert [row["reason"] for row in rows] == ["unreadable", "wrong-shape", "unseen"]
