import io
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from rayboot.errors import FaceRejectedError, RequestError, ShapeError
from rayboot.inference.photos import decode_named, name_photos

PIXELS = np.random.default_rng(3).integers(0, 256, (24, 40, 3), np.uint8)


def encode(pixels: np.ndarray, **options: Any) -> bytes:
    buffer = io.BytesIO()
    PIL.Image.fromarray(pixels).save(buffer, "png", **options)
    return buffer.getvalue()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "a.png").write_bytes(encode(PIXELS))
    return tmp_path / "a.png"


def test_every_form_of_a_photo_gives_the_same_pixels(path: Path) -> None:
    payload = path.read_bytes()
    forms = [path, str(path), path.as_uri(), payload, bytearray(payload), PIXELS]
    forms += [PIL.Image.open(path), PIL.Image.fromarray(PIXELS)]
    for named in name_photos(forms):
        assert np.array_equal(decode_named(named), PIXELS)


def test_exif_turns_files_and_images(path: Path) -> None:
    exif = PIL.Image.Exif()
    exif[0x0112] = 6  # the camera was turned: what was stored as rows are columns
    payload = encode(PIXELS, exif=exif)
    upright = np.rot90(PIXELS, -1)
    for form in (payload, PIL.Image.open(io.BytesIO(payload))):
        (named,) = name_photos(form)
        assert np.array_equal(decode_named(named), upright)


def test_photos_are_named_by_path_or_number(path: Path) -> None:
    with PIL.Image.open(path) as image:
        names = [named.name for named in name_photos([path, path.read_bytes(), image])]
    assert names == [str(path), "photo 1 of 3, counted from 0", str(path)]
    assert name_photos(PIXELS)[0].name == "the photo"
    assert name_photos([]) == []


@pytest.mark.parametrize(
    ("photo", "reason"),
    [
        (b"", "empty"),
        (b"no image", "undecodable"),
        (encode(PIXELS)[:-40], "truncated"),
        (encode(PIXELS[:4]), "too-small"),
        ("/nowhere/a.jpg", "missing"),
        ("/", "unreadable"),
        (PIL.Image.fromarray(PIXELS[:4]), "too-small"),
        (PIL.Image.open(io.BytesIO(encode(PIXELS)[:-40])), "truncated"),
    ],
)
def test_a_photo_that_cannot_be_decoded_is_named(photo: Any, reason: str) -> None:
    named = name_photos([PIXELS, photo])[1]
    with pytest.raises(FaceRejectedError) as caught:
        decode_named(named)
    assert (caught.value.stage, caught.value.reason) == ("read", reason)
    assert caught.value.message.startswith(f"{named.name}: ")


@pytest.mark.parametrize("wrong", [PIXELS[None], PIXELS[..., 0], PIXELS / 255, PIXELS[..., :2]])
def test_arrays_of_another_shape_are_refused(wrong: np.ndarray) -> None:
    with pytest.raises(ShapeError, match=r"photo 1 of 2.*\(H, W, 3\) uint8 RGB, got \("):
        name_photos([PIXELS, wrong])


@pytest.mark.parametrize("wrong", [None, 3, {"a": 1}, [PIXELS]])
def test_other_types_are_refused_with_what_was_expected(wrong: Any) -> None:
    with pytest.raises(RequestError, match=r"expected a path, .* PIL image.*; got "):
        name_photos([wrong])
