import io

import numpy as np
import PIL.Image
import pytest

from rayboot.data.images import MAX_PIXELS, decode_photo, encode_image, make_thumbnail
from rayboot.errors import FaceRejectedError


def encoded(image, image_format="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, image_format, **options)
    return buffer.getvalue()


def smooth_photo(height=48, width=64):
    """A gradient that JPEG preserves, with another colour in every corner."""
    rows, columns = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    channels = [40 + 180 * rows, 40 + 180 * columns, 220 - 90 * rows - 90 * columns]
    return np.stack(channels, axis=2).astype(np.uint8)


def rejection(payload):
    """The reason for which a photo is rejected."""
    with pytest.raises(FaceRejectedError) as caught:
        decode_photo(payload)
    assert caught.value.stage == "read"
    assert caught.value.message
    return caught.value.reason


@pytest.mark.parametrize("image_format", ["PNG", "BMP", "PPM", "TIFF"])
def test_lossless_formats_keep_every_value(image_format):
    photo = smooth_photo()
    payload = encoded(PIL.Image.fromarray(photo), image_format)
    decoded = decode_photo(payload)
    assert decoded.dtype == np.uint8
    assert (decoded == photo).all()


@pytest.mark.parametrize("image_format", ["JPEG", "WEBP"])
def test_lossy_formats_come_close(image_format):
    photo = smooth_photo()
    decoded = decode_photo(encoded(PIL.Image.fromarray(photo), image_format, quality=95))
    assert np.abs(decoded.astype(int) - photo).max() <= 6


def test_a_photo_is_rotated_as_its_exif_says():
    photo = smooth_photo()
    exif = PIL.Image.Exif()
    exif[0x0112] = 6  # to be shown rotated clockwise
    payload = encoded(PIL.Image.fromarray(photo), exif=exif)
    assert (decode_photo(payload) == np.rot90(photo, -1)).all()


def test_damaged_exif_is_ignored():
    photo = smooth_photo()
    payload = encoded(PIL.Image.fromarray(photo), exif=b"Exif\0\0XX\0\0no directory")
    assert (decode_photo(payload) == photo).all()


def test_grey_becomes_three_equal_channels():
    grey = smooth_photo()[..., 0]
    assert (decode_photo(encoded(PIL.Image.fromarray(grey))) == grey[..., None]).all()


def test_black_and_white_is_black_and_white():
    mask = smooth_photo()[..., 0] > 120
    assert (decode_photo(encoded(PIL.Image.fromarray(mask))) == 255 * mask[..., None]).all()


@pytest.mark.parametrize("image_format", ["PNG", "TIFF"])
def test_16_bit_grey_keeps_its_scale(image_format):
    grey = np.linspace(0, 65535, 48 * 64).reshape(48, 64).astype(np.uint16)
    decoded = decode_photo(encoded(PIL.Image.fromarray(grey), image_format))
    assert np.abs(decoded - grey[..., None] / 257.0).max() <= 0.5


def test_a_dark_16_bit_photo_stays_dark():
    grey = np.full((48, 64), 200, np.uint16)
    assert decode_photo(encoded(PIL.Image.fromarray(grey))).max() == 1


def test_floats_between_0_and_1_are_scaled_and_nan_is_black():
    grey = np.linspace(0, 1, 48 * 64, dtype=np.float32).reshape(48, 64)
    grey[0, 0] = np.nan
    decoded = decode_photo(encoded(PIL.Image.fromarray(grey), "TIFF"))
    assert decoded[0, 0].tolist() == [0, 0, 0]
    assert decoded[-1, -1].tolist() == [255, 255, 255]


def test_16_bit_colour_keeps_its_scale():
    # A PPM of 16 bits; Pillow cannot write one.
    photo = smooth_photo()
    payload = b"P6 64 48 65535\n" + (photo.astype(">u2") * 257).tobytes()
    assert (decode_photo(payload) == photo).all()


def test_a_palette_gives_its_colours():
    colours = PIL.Image.fromarray(smooth_photo()).quantize(32)
    assert (decode_photo(encoded(colours, "GIF")) == np.asarray(colours.convert("RGB"))).all()


def test_the_first_frame_of_an_animation_is_shown():
    frames = [PIL.Image.new("RGB", (32, 32), name) for name in ("red", "blue")]
    payload = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert decode_photo(payload)[5, 5].tolist() == [255, 0, 0]


def test_cmyk_is_shown_in_its_colours():
    photo = np.full((32, 32, 3), (200, 100, 50), np.uint8)
    payload = encoded(PIL.Image.fromarray(photo).convert("CMYK"), "JPEG", quality=95)
    assert PIL.Image.open(io.BytesIO(payload)).mode == "CMYK"
    assert np.abs(decode_photo(payload).astype(int) - photo).max() <= 6


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparent_pixels_are_white(mode):
    image = PIL.Image.new("RGBA", (32, 32), (0, 0, 0, 255))
    image.paste((9, 9, 9, 0), (0, 0, 16, 32))
    decoded = decode_photo(encoded(image.convert(mode)))
    assert decoded[5, 5].tolist() == [255, 255, 255]
    assert decoded[5, 25].tolist() == [0, 0, 0]


def test_half_transparent_pixels_are_mixed_with_white():
    payload = encoded(PIL.Image.new("RGBA", (32, 32), (255, 0, 0, 128)))
    assert decode_photo(payload)[3, 3].tolist() == [255, 127, 127]


def test_colours_that_are_not_rgb_are_converted():
    photo = np.full((32, 32, 3), (200, 100, 50), np.uint8)
    payload = encoded(PIL.Image.fromarray(photo).convert("YCbCr"), "TIFF")
    assert np.abs(decode_photo(payload).astype(int) - photo).max() <= 2
    assert decode_photo(encoded(PIL.Image.new("LAB", (32, 32)), "TIFF")).shape == (32, 32, 3)


def test_a_file_that_is_no_image_is_rejected():
    assert rejection(b"") == "empty"
    assert rejection(b"GIF87 is what this text begins with") == "undecodable"
    assert rejection(b"<html>404</html>") == "undecodable"
    assert rejection(bytes(1000)) == "undecodable"


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "GIF", "TIFF", "BMP", "WEBP", "PPM"])
def test_a_truncated_photo_is_rejected(image_format):
    payload = encoded(PIL.Image.fromarray(smooth_photo(200, 300)), image_format)
    assert rejection(payload[: len(payload) * 2 // 3]) == "truncated"


def test_a_truncated_progressive_jpeg_is_rejected():
    # Its first scans contain the whole photo, blurred.
    payload = encoded(PIL.Image.fromarray(smooth_photo(200, 300)), "JPEG", progressive=True)
    assert rejection(payload[: len(payload) * 2 // 3]) == "truncated"


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "GIF", "TIFF", "BMP", "WEBP", "AVIF"])
def test_a_damaged_file_is_rejected_or_decoded_but_never_ends_a_run(image_format):
    rng = np.random.default_rng(0)
    whole = encoded(PIL.Image.fromarray(smooth_photo()), image_format)
    reasons = set()
    for _ in range(60):
        payload = bytearray(whole)
        for index in rng.integers(0, len(payload), 4):
            payload[index] = rng.integers(0, 256)
        try:
            decoded = decode_photo(bytes(payload))
        except FaceRejectedError as error:
            reasons.add(error.reason)
        else:
            assert decoded.dtype == np.uint8 and decoded.shape[2] == 3
    assert reasons <= {"undecodable", "truncated", "too-small", "too-large"}


def test_one_pixel_is_too_small():
    assert rejection(encoded(PIL.Image.new("RGB", (1, 1)))) == "too-small"
    assert rejection(encoded(PIL.Image.new("RGB", (4000, 15)))) == "too-small"
    assert decode_photo(encoded(PIL.Image.new("RGB", (16, 16)))).shape == (16, 16, 3)


def test_100_megapixels_are_decoded():
    payload = encoded(PIL.Image.new("L", (12_500, 8_000), 77), "JPEG")
    photo = decode_photo(payload)
    assert photo.shape == (8_000, 12_500, 3)
    assert photo[::500, ::500].min() == photo[::500, ::500].max() == 77
    assert max(PIL.Image.open(io.BytesIO(make_thumbnail(photo))).size) == 64


@pytest.mark.parametrize("side", [11_000, 20_000])
def test_more_pixels_than_the_limit_are_rejected_before_decoding(side):
    # The limit of Pillow is between the two sizes.
    assert side**2 > MAX_PIXELS
    header = encoded(PIL.Image.new("1", (side, side)), "TIFF", compression="group4")
    assert rejection(header) == "too-large"


def test_a_smaller_limit_can_be_given():
    photo = encoded(PIL.Image.new("RGB", (300, 200)))
    assert decode_photo(photo, 60_000).shape == (200, 300, 3)
    with pytest.raises(FaceRejectedError, match=r"up to 0.05 megapixels, got 300 x 200 px"):
        decode_photo(photo, 50_000)


def test_an_encoded_photo_is_decoded_again():
    photo = smooth_photo()
    assert (decode_photo(encode_image(photo, "png")) == photo).all()
    decoded = decode_photo(encode_image(photo, "jpeg")).astype(int)
    assert np.abs(decoded - photo).max() <= 4


def test_a_thumbnail_keeps_the_aspect_ratio():
    thumbnail = decode_photo(make_thumbnail(smooth_photo(300, 600)))
    assert thumbnail.shape == (32, 64, 3)
    assert decode_photo(make_thumbnail(np.zeros((32, 20, 3), np.uint8))).shape == (64, 40, 3)
