"""Colours of photos that are not in sRGB."""

import io

import numpy as np
import PIL.Image
import pytest

from rayboot.data.images import decode_photo
from tests.field import profiles

SKIN = np.array([[224, 172, 138], [141, 85, 61], [250, 224, 210], [60, 36, 28], [128, 128, 128]])


def patches(colors: np.ndarray) -> np.ndarray:
    """A photo of 16 px patches, one for each colour."""
    return np.repeat(np.repeat(colors[None], 16, axis=0), 16, axis=1).astype(np.uint8)


def encoded(photo: np.ndarray, image_format: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    PIL.Image.fromarray(photo).save(buffer, image_format, **options)
    return buffer.getvalue()


def expected(primaries: np.ndarray, linear: np.ndarray) -> np.ndarray:
    matrix = np.linalg.inv(profiles.SRGB) @ primaries
    return profiles.to_srgb(linear @ matrix.T)


WIDE = {
    "Display P3": (profiles.DISPLAY_P3, profiles.srgb_curve()),
    "Adobe RGB": (profiles.ADOBE_RGB, 2.19921875),
}


@pytest.mark.parametrize("image_format", ["PNG", "JPEG", "WEBP", "TIFF"])
@pytest.mark.parametrize("name", WIDE)
def test_wide_colours_are_converted(name: str, image_format: str) -> None:
    primaries, curve = WIDE[name]
    photo = patches(SKIN)
    options = {} if image_format in ("PNG", "TIFF") else {"quality": 100}
    icc = profiles.rgb_profile(primaries, curve)
    decoded = decode_photo(encoded(photo, image_format, icc_profile=icc, **options))
    values = SKIN / 255
    linear = (
        np.interp(values, np.linspace(0, 1, 1024), curve)
        if isinstance(curve, np.ndarray)
        else values**curve
    )
    truth = expected(primaries, linear)
    found = decoded[8, 8::16].astype(int)
    assert np.abs(found - truth).max() <= 3
    # Skin looks pale where the profile is ignored.
    assert np.abs(found - SKIN).max() > 8


def test_grey_profiles_are_converted() -> None:
    grey = np.array([20, 90, 128, 200, 255])
    photo = patches(grey)
    decoded = decode_photo(encoded(photo, icc_profile=profiles.grey_profile(1.8)))
    truth = profiles.to_srgb((grey / 255) ** 1.8)
    assert np.abs(decoded[8, 8::16] - truth[:, None]).max() <= 3


def test_srgb_keeps_every_value() -> None:
    photo = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    icc = profiles.rgb_profile(profiles.SRGB, profiles.srgb_curve())
    assert (decode_photo(encoded(photo, icc_profile=icc)) == photo).all()


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_and_palettes_are_converted_too(mode: str) -> None:
    photo = PIL.Image.fromarray(patches(SKIN)).convert("RGBA")
    photo.paste((0, 0, 0, 0), (0, 0, 16, 16))
    buffer = io.BytesIO()
    grey = mode == "LA"
    icc = profiles.grey_profile(1.0) if grey else profiles.rgb_profile(profiles.ADOBE_RGB, 2.2)
    photo.convert(mode).save(buffer, "PNG", icc_profile=icc)
    decoded = decode_photo(buffer.getvalue())
    assert decoded[8, 8].tolist() == [255, 255, 255]
    if grey:
        assert np.abs(decoded[8, 72] - profiles.to_srgb(np.array(128 / 255))).max() <= 3
    else:
        truth = expected(profiles.ADOBE_RGB, (SKIN[1] / 255) ** 2.2)
        assert np.abs(decoded[8, 24] - truth).max() <= 4


UNFIT = [
    b"no profile",
    profiles.grey_profile(2.2),
    profiles.rgb_profile(profiles.SRGB, 2.2)[:200],
]


@pytest.mark.parametrize("icc", UNFIT)
def test_a_profile_that_does_not_fit_is_ignored(icc: bytes) -> None:
    photo = patches(SKIN)
    assert (decode_photo(encoded(photo, icc_profile=icc)) == photo).all()


@pytest.mark.parametrize("index", ["R03", "R98", None])
def test_adobe_rgb_without_a_profile_is_known_by_exif(index: str | None) -> None:
    """Cameras set to Adobe RGB: no profile, a name that begins with an underscore, and this tag."""
    exif = PIL.Image.Exif()
    exif[0x0112] = 3  # the camera was held upside down
    if index:
        exif.get_ifd(0x8769)[0xA001] = 0xFFFF  # colours are "uncalibrated"
        exif.get_ifd(0x8769)[0xA005] = {1: index, 2: b"0100"}
    photo = patches(SKIN)
    decoded = decode_photo(encoded(photo, "JPEG", quality=100, subsampling=0, exif=exif))
    found = decoded[::-1, ::-1][8, 8::16].astype(int)
    truth = expected(profiles.ADOBE_RGB, (SKIN / 255) ** 2.19921875) if index == "R03" else SKIN
    assert np.abs(found - truth).max() <= 3
