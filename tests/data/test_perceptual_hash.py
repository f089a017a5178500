from pathlib import Path

import cv2
import numpy as np
import pytest

from rayboot.data.images import decode_photo, encode_image
from rayboot.data.perceptual_hash import HashIndex


def scene(seed: int, size: int = 200) -> np.ndarray:
    """An image of grey discs, unlike that of another seed."""
    rng = np.random.default_rng(seed)
    image: np.ndarray = np.full((size, size, 3), rng.integers(256), np.uint8)
    for _ in range(12):
        centre, radius = rng.integers(0, size, 2), int(rng.integers(15, 60))
        cv2.circle(image, [int(n) for n in centre], radius, [int(rng.integers(256))] * 3, -1)
    return image


@pytest.fixture
def index() -> HashIndex:
    return HashIndex.build((f"test/{n}", bytes([n]), scene(n)) for n in range(40))


def test_a_photo_is_found_again_resized_and_recompressed(index: HashIndex) -> None:
    for n in range(40):
        resized = cv2.resize(scene(n), (160, 160), interpolation=cv2.INTER_AREA)
        again = decode_photo(encode_image(resized, "jpeg"))
        assert index.find("other bytes", again) == f"test/{n}"


def test_the_same_file_is_found_by_its_content(index: HashIndex) -> None:
    assert index.find(index.content_hashes[7], scene(99)) == "test/7"


def test_other_photos_are_not_found(index: HashIndex) -> None:
    assert not any(index.find("", scene(n)) for n in range(100, 400))
    assert HashIndex.build([]).find("", scene(0)) is None


def test_an_index_is_read_back_from_its_file(index: HashIndex, tmp_path: Path) -> None:
    uri = str(tmp_path / "index.parquet")
    index.save(uri)
    loaded = HashIndex.load(uri)
    assert loaded.face_ids == index.face_ids
    assert loaded.content_hashes == index.content_hashes
    assert np.array_equal(loaded.perceptual_hashes, index.perceptual_hashes)
    assert loaded.find("", scene(3)) == "test/3"


def test_real_photos_are_told_apart(shared_dir: Path) -> None:
    """Portraits in similar poses are the hardest case: half of the people against the others."""
    paths = sorted((shared_dir / "faces/lfw-deepfunneled").rglob("*.jpg"))
    photos = [(path.name, path.read_bytes()) for path in paths]
    decoded = [(name, payload, decode_photo(payload)) for name, payload in photos]
    index = HashIndex.build(decoded[::2])
    assert not any(index.find("", photo) for _, _, photo in decoded[1::2])
    small = [cv2.resize(photo, (160, 160), interpolation=cv2.INTER_AREA) for *_, photo in decoded]
    again = [index.find("", decode_photo(encode_image(photo, "jpeg"))) for photo in small[::2]]
    assert again == index.face_ids
