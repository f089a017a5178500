from pathlib import Path

import cv2
import numpy as np
import pytest

from rayboot.errors import RequestError
from rayboot.synthesis.backgrounds import draw_background, load_backgrounds


def write(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), pixels[:, :, ::-1])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three red photographs; a plain, a small and a damaged picture; a link."""
    stripes = np.zeros((500, 900, 3), np.uint8)
    stripes[:, ::40, 0] = stripes[:, 1::40, 0] = 255
    for name in ("a.png", "sub/b.jpg", "sub/c.webp"):
        write(tmp_path / name, stripes)
    write(tmp_path / "plain.png", np.full((500, 900, 3), 9, np.uint8))
    write(tmp_path / "small.png", stripes[:100, :100])
    (tmp_path / "broken.jpg").write_bytes(b"not a picture")
    (tmp_path / "link.png").symlink_to("a.png")
    return tmp_path


def test_photographs_are_found_and_reduced(folder: Path) -> None:
    photos = load_backgrounds(str(folder)).photos
    assert [photo.shape for photo in photos] == [(356, 640, 3)] * 3


def test_a_folder_without_photographs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="photographs to cut backgrounds from"):
        load_backgrounds(str(tmp_path))


def test_most_backgrounds_are_cut_from_photographs(folder: Path) -> None:
    backgrounds = load_backgrounds(str(folder))
    drawn = [draw_background(np.random.default_rng(seed), 64, backgrounds) for seed in range(60)]
    assert {image.shape for image in drawn} == {(64, 64, 3)}
    # The photographs have no green and no blue where they are not grey.
    red = sum(
        image[..., 0].mean() > 2 * max(1, image[..., 1:].mean()) or _is_grey(image)
        for image in drawn
    )
    assert 0.6 < red / len(drawn) < 0.95
    assert len({image.tobytes() for image in drawn}) == len(drawn)


def _is_grey(image: np.ndarray) -> bool:
    return bool((image.max(axis=2) - image.min(axis=2)).max() <= 1)


def test_without_photographs_patterns_are_drawn() -> None:
    image = draw_background(np.random.default_rng(0), 48)
    assert image.shape == (48, 48, 3) and image.std() > 3
    assert np.array_equal(image, draw_background(np.random.default_rng(0), 48))
