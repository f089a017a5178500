from pathlib import Path

import cv2
import numpy as np
import pytest

from rayboot.data.images import decode_photo, encode_image
from rayboot.data.perceptual_hash import HashIndex


def scene(seed: int, size: int = 200) -> np.ndarray:
    """A picture unlike that of another seed: grey patches on grey."""
    rng = np.random.default_rng(seed)
    picture: np.ndarray = np.full((size, size, 3), rng.integers(256), np.uint8)
    for _ in range(12):
        middle, radius = rng.integers(0, size, 2), int(rng.integers(15, 60))
        cv2.circle(picture, [int(n) for n in middle], radius, [int(rng.integers(256))] * 3, -1)
    return picture


@pytest.fixture
def known() -> HashIndex:
    return HashIndex.build((f"test/{n}", bytes([n]), scene(n)) for n in range(40))


def test_a_picture_is_found_again_in_other_files(known: HashIndex) -> None:
    for n in range(40):
        resized = cv2.resize(scene(n), (160, 160), interpolation=cv2.INTER_AREA)
        again = decode_photo(encode_image(resized, "jpeg"))
        assert known.find("other bytes", again) == f"test/{n}"


def test_the_same_file_is_found_by_its_content(known: HashIndex) -> None:
    assert known.find(known.content_hashes[7], scene(99)) == "test/7"


def test_other_pictures_are_not_found(known: HashIndex) -> None:
    assert not any(known.find("", scene(n)) for n in range(100, 400))
    assert HashIndex.build([]).find("", scene(0)) is None


def test_they_are_kept_in_a_file(known: HashIndex, tmp_path: Path) -> None:
    uri = str(tmp_path / "known.parquet")
    known.save(uri)
    loaded = HashIndex.load(uri)
    assert loaded.face_ids == known.face_ids
    assert loaded.content_hashes == known.content_hashes
    assert np.array_equal(loaded.perceptual_hashes, known.perceptual_hashes)
    assert loaded.find("", scene(3)) == "test/3"


def test_no_two_real_photos_are_the_same_picture(shared_dir: Path) -> None:
    """Faces in like poses least of all: half of the people against the other half."""
    paths = sorted((shared_dir / "faces/lfw-deepfunneled").rglob("*.jpg"))
    photos = [(path.name, path.read_bytes()) for path in paths]
    decoded = [(name, payload, decode_photo(payload)) for name, payload in photos]
    known = HashIndex.build(decoded[::2])
    found = [known.find("", photo) for _, _, photo in decoded[1::2]]
    assert not any(found)
    small = [cv2.resize(photo, (160, 160), interpolation=cv2.INTER_AREA) for *_, photo in decoded]
    again = [known.find("", decode_photo(encode_image(photo, "jpeg"))) for photo in small[::2]]
    assert again == known.face_ids
