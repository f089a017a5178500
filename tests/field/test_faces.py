"""Portraits on their side or head, and faces that are tiny in a large photo."""

from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest

from rayboot.data.detector import FaceDetector, crop_from_detection
from rayboot.data.images import decode_photo, encode_image
from rayboot.errors import FaceRejectedError
from rayboot.geometry.crop import apply_affine, invert_affine, warp_photo
from rayboot.pipeline.export_meshes import export_meshes
from rayboot.pipeline.export_request import ReconstructConfig, prepare_export
from rayboot.pipeline.generate_config import GenerateConfig
from rayboot.pipeline.in_process_executor import InProcessExecutor
from rayboot.pipeline.listing import list_inputs, mark_duplicates
from rayboot.pipeline.stages.crop_faces import CropFaces
from rayboot.pipeline.stages.predict_volume import PredictVolume
from rayboot.pipeline.stages.render_views import RenderViews
from rayboot.registry.resolve import resolve_model

SIZE = 96
SHAPE = (112, 96, 96)


@pytest.fixture(scope="module")
def portraits(shared_dir: Path) -> list[np.ndarray]:
    """Photos of 250 px, one upright person in the middle of each."""
    files = sorted((shared_dir / "faces" / "lfw-deepfunneled").rglob("*.jpg"))[::35]
    return [decode_photo(file.read_bytes()) for file in files]


def landscape(width: int, height: int) -> np.ndarray:
    """A photo of nothing: large soft spots with some grain."""
    rng = np.random.default_rng(3)
    small = rng.integers(40, 200, (9, 12, 3)).astype(np.uint8)
    soft = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC).astype(np.int16)
    return np.clip(soft + rng.integers(-6, 7, soft.shape, np.int16), 0, 255).astype(np.uint8)


def crop_of(detector: FaceDetector, photo: np.ndarray) -> np.ndarray:
    return crop_from_detection(detector.detect(photo)[0], SIZE)


@pytest.mark.parametrize("roll_deg", [60, -60, 90, -90, 180])
def test_a_rolled_portrait_gives_an_upright_crop(
    detector: FaceDetector, portraits: list[np.ndarray], roll_deg: int
) -> None:
    angles, shifts, scales = [], [], []
    for photo in portraits:
        turn = cv2.getRotationMatrix2D((124.5, 124.5), -roll_deg, 1.0)
        rolled = cv2.warpAffine(photo, turn, (250, 250), borderMode=cv2.BORDER_REPLICATE)
        upright = crop_of(detector, photo)
        # From px of the crop that the upright portrait has, to px of the rolled one's.
        crop = crop_of(detector, rolled)
        to_crop = (crop @ np.vstack([turn @ np.vstack([invert_affine(upright), [0, 0, 1]]),
                                     [0, 0, 1]]))  # fmt: skip
        angles.append(abs(np.degrees(np.arctan2(to_crop[1, 0], to_crop[0, 0]))))
        scales.append(abs(np.sqrt(np.linalg.det(to_crop[:, :2])) - 1))
        middle = np.full((1, 2), (SIZE - 1) / 2)
        shifts.append(np.linalg.norm(apply_affine(to_crop, middle) - middle) / SIZE)
    # YuNet measures rolls between two quarter turns less well, and takes one in ten for another.
    limit = 0.9 if roll_deg % 90 == 0 else 0.8
    assert np.median(angles) < 15 and np.mean(np.array(angles) < 30) >= limit, angles
    assert np.median(scales) < 0.1 and np.median(shifts) < 0.05, (scales, shifts)


def test_a_sideways_photo_of_a_phone_shows_the_same_crop(
    detector: FaceDetector, portraits: list[np.ndarray]
) -> None:
    # A phone that lay flat does not know which way is up, and writes no EXIF orientation.
    are_upright = []
    for photo in portraits:
        upright = warp_photo(photo, crop_of(detector, photo), SIZE).astype(int)
        for turns in (1, 2, 3):
            turned = np.ascontiguousarray(np.rot90(photo, turns))
            crop = warp_photo(turned, crop_of(detector, turned), SIZE).astype(int)
            upside_down = np.abs(crop - upright[::-1, ::-1]).mean()
            are_upright.append(np.abs(crop - upright).mean() < 0.75 * upside_down)
    assert np.mean(are_upright) > 0.9


def test_upright_faces_are_cropped_without_rotation(
    detector: FaceDetector, portraits: list[np.ndarray]
) -> None:
    for photo in portraits:
        for roll_deg in (0, 15):
            turn = cv2.getRotationMatrix2D((124.5, 124.5), roll_deg, 1.0)
            rolled = cv2.warpAffine(photo, turn, (250, 250), borderMode=cv2.BORDER_REPLICATE)
            assert detector.detect(rolled)[0].roll == 0
            assert crop_of(detector, rolled)[0, 1] == 0


@pytest.mark.parametrize("face_px", [70, 40])
def test_a_tiny_face_in_a_large_photo_is_found(
    detector: FaceDetector, portraits: list[np.ndarray], face_px: int
) -> None:
    # The face takes 110 of the 250 px of a portrait.
    side = round(face_px * 250 / 110)
    photo = landscape(4032, 3024)
    face = cv2.resize(portraits[0], (side, side), interpolation=cv2.INTER_AREA)
    photo[2000 : 2000 + side, 600 : 600 + side] = face
    found = detector.detect(photo)[0]
    assert found.centre == pytest.approx([600 + side / 2, 2000 + side / 2], abs=face_px / 3)
    assert found.size == pytest.approx(face_px, rel=0.3)


@pytest.mark.parametrize("place", [0, 12_345, 29_780])
def test_faces_of_a_panorama_are_found(
    detector: FaceDetector, portraits: list[np.ndarray], place: int
) -> None:
    photo = np.full((220, 30_000, 3), 120, np.uint8)
    photo[:, place : place + 220] = cv2.resize(portraits[0], (220, 220))
    for panorama, centre in ((photo, [place + 110, 110]), (photo[:, ::-1], [29_890 - place, 110])):
        (face,) = detector.detect(panorama)
        assert face.centre == pytest.approx(centre, abs=25)
        assert face.size == pytest.approx(100, rel=0.3)


def test_a_crop_of_a_very_wide_panorama(
    detector: FaceDetector, portraits: list[np.ndarray]
) -> None:
    # OpenCV's functions are limited to 32,767 px in some versions.
    photo = np.full((220, 40_000, 3), 120, np.uint8)
    photo[:, 35_000:35_220] = cv2.resize(portraits[0], (220, 220))
    crop = warp_photo(photo, crop_of(detector, photo), SIZE)
    alone = cv2.resize(portraits[0], (220, 220))
    expected = warp_photo(alone, crop_of(detector, alone), SIZE)
    assert np.abs(crop[20:-20, 20:-20].astype(int) - expected[20:-20, 20:-20]).mean() < 12


def test_a_face_without_pixels_is_too_small(
    detector: FaceDetector, portraits: list[np.ndarray]
) -> None:
    photo = landscape(400, 300)
    photo[100:126, 100:126] = cv2.resize(portraits[4], (26, 26), interpolation=cv2.INTER_AREA)
    with pytest.raises(FaceRejectedError, match=r"has 1\d px, expected 16") as caught:
        detector.detect(photo)
    assert (caught.value.stage, caught.value.reason) == ("landmarks", "face-too-small")


def test_a_large_photo_of_nothing_has_no_face(detector: FaceDetector) -> None:
    with pytest.raises(FaceRejectedError) as caught:
        detector.detect(landscape(4032, 3024))
    assert caught.value.reason == "no-face"


@pytest.fixture
def album(tmp_path: Path, portraits: list[np.ndarray]) -> Path:
    """One photo of two people, of whom the left one is larger, and one of one person."""
    folder = tmp_path / "album"
    folder.mkdir()
    small = np.full((250, 200, 3), 90, np.uint8)
    small[25:225] = cv2.resize(portraits[4], (200, 200), interpolation=cv2.INTER_AREA)
    pair = np.hstack([portraits[1], small])
    (folder / "pair.png").write_bytes(encode_image(pair, "png"))
    (folder / "alone.png").write_bytes(encode_image(portraits[1], "png"))
    return folder


def test_meshes_say_how_many_people_the_photo_shows(
    detector: FaceDetector, album: Path, tmp_path: Path
) -> None:
    output = tmp_path / "meshes"
    config = ReconstructConfig(kinds=("glb",))
    plan = prepare_export("builtin:compact", str(album), str(output), config)
    summary = export_meshes(plan, InProcessExecutor())
    assert (summary.num_meshes, summary.num_of_several) == (2, 1)
    rows = pq.read_table(output / "index.parquet").to_pylist()
    assert {row["face_id"]: row["num_people"] for row in rows} == {"alone.png": 1, "pair.png": 2}
    # The larger one is at the same place in both.
    assert rows[0]["crop"] == pytest.approx(rows[1]["crop"], abs=6)


@pytest.mark.egl
def test_pairs_say_how_many_people_the_photo_shows(detector: FaceDetector, album: Path) -> None:
    config = GenerateConfig()
    rows = mark_duplicates(list_inputs(str(album)))
    for stage in (
        CropFaces(SIZE, config.selection, detect_faces=True),
        PredictVolume(
            str(resolve_model("builtin:compact").path),
            config.inference,
            batch_size=2,
            use_gpu=False,
            cell=config.cell_px(SIZE),
        ),
        RenderViews(config, SHAPE, "model", "config"),
    ):
        rows = stage(rows)
    faces = {row["face_id"]: row for row in rows.to_pylist()}
    assert {row["outcome"] for row in faces.values()} == {"face"}
    assert (faces["alone.png"]["num_people"], faces["pair.png"]["num_people"]) == (1, 2)
