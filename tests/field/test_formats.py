"""Image files as phones, browsers and editors write them."""

import io
import logging
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import PIL.Image
import pytest
import tifffile

from rayboot.data import images
from rayboot.data.images import decode_photo
from rayboot.data.readers import list_photos
from rayboot.data.readers.unread import unread_note
from rayboot.errors import FaceRejectedError, RequestError
from rayboot.pipeline.listing import list_inputs
from rayboot.pipeline.pack import prepare_pack

FILES = Path(__file__).parent / "files"


def gradient(height: int = 48, width: int = 64) -> np.ndarray:
    """The photo in ``files/gradient.heic``."""
    rows, columns = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    channels = [40 + 180 * rows, 40 + 180 * columns, 220 - 90 * rows - 90 * columns]
    return np.stack(channels, axis=2).astype(np.uint8)


def encoded(photo: np.ndarray, image_format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    PIL.Image.fromarray(photo).save(buffer, image_format, **options)
    return buffer.getvalue()


def make_folder(folder: Path, *names: str) -> str:
    """Writes files of some bytes, which a listing does not open."""
    folder.mkdir(parents=True)
    for name in names:
        (folder / name).write_bytes(b"12345")
    return str(folder)


def rejection(payload: bytes) -> FaceRejectedError:
    with pytest.raises(FaceRejectedError) as caught:
        decode_photo(payload)
    assert caught.value.stage == "read"
    return caught.value


def test_photos_of_a_phone_are_read() -> None:
    decoded = decode_photo((FILES / "gradient.heic").read_bytes())
    assert np.abs(decoded.astype(int) - gradient()).max() <= 8


def test_a_damaged_photo_of_a_phone_is_a_reject() -> None:
    payload = (FILES / "gradient.heic").read_bytes()
    assert rejection(payload[: len(payload) * 2 // 3]).reason in ("truncated", "undecodable")
    assert rejection(payload[:40]).reason in ("truncated", "undecodable")


def test_without_the_extra_the_reject_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "register_heif", lambda: False)
    reject = rejection((FILES / "gradient.heic").read_bytes())
    assert reject.reason == "undecodable"
    assert "HEIC" in reject.message and 'pip install "rayboot[heic]"' in reject.message


def test_photos_of_browsers_are_read() -> None:
    decoded = decode_photo(encoded(gradient(), "AVIF", quality=95))
    assert np.abs(decoded.astype(int) - gradient()).max() <= 8


def test_what_phones_and_browsers_save_is_listed(tmp_path: Path) -> None:
    names = ["a.HEIC", "b.heif", "c.avif", "d.jfif", "e.jpe", "f.mpo", "g.apng", "h.jp2"]
    assert list_photos(make_folder(tmp_path / "set", *names))["face_id"].to_pylist() == names


UNREAD = ["a.CR2", "b.dng", "c.dng", "d.jxl", "e.jpg_large", "f.jpg?w=640", "g.jpeg.1", "h.png~"]
OTHERS = ["photo.jpg", "photo.jpg.txt", "photo.pts", "readme.md", "jpg", "clip.mov", ".x.dng"]


def test_pictures_that_are_not_read_are_counted_and_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    uri = make_folder(tmp_path / "set", *UNREAD, *OTHERS)
    with caplog.at_level(logging.WARNING):
        note = unread_note(list_photos(uri))
    assert note.startswith("8 files look like pictures and are not read: 2 .dng, ")
    for part in ("1 .cr2", "1 .jpg_large", "1 .jpg?w=640", "1 .jpeg.1", "1 .png~", "a.CR2"):
        assert part in note
    assert note in caplog.text
    both = list_inputs([uri, make_folder(tmp_path / "more", "a.jpg")])
    assert unread_note(both) == f"set: {note}"
    assert unread_note(list_photos(str(tmp_path / "more"))) == ""


def test_a_folder_of_unread_pictures_says_so(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"no photo found.*1 file looks like a picture.*\.cr2"):
        list_photos(make_folder(tmp_path / "set", "a.cr2"))


def test_the_summary_repeats_what_was_not_read(synthetic_set: str, tmp_path: Path) -> None:
    photo = next(Path(synthetic_set).rglob("*.jpg"))
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/a.jpg").write_bytes(photo.read_bytes())
    (tmp_path / "photos/b.nef").write_bytes(b"raw")
    arguments = (str(tmp_path / "photos"), str(tmp_path / "packed"))
    first, resumed = (prepare_pack(*arguments).unread for _ in range(2))
    assert first == resumed and "1 .nef (b.nef)" in first


def png_with(*chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG with further chunks before its pixels."""
    plain = encoded(gradient(), "PNG")
    parts = [len(d).to_bytes(4, "big") + k + d + zlib.crc32(k + d).to_bytes(4, "big")
             for k, d in chunks]  # fmt: skip
    return plain[:33] + b"".join(parts) + plain[33:]


HUGE = zlib.compress(b"<edit/>" * 300_000)
PNG_CHUNKS = {
    "zTXt": (b"zTXt", b"history\0\0" + HUGE),
    "iTXt": (b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + HUGE),
    "iCCP": (b"iCCP", b"profile\0\0" + HUGE),
    "bomb": (b"zTXt", b"bomb\0\0" + zlib.compress(bytes(300_000_000), 9)),
}


@pytest.mark.parametrize("kind", PNG_CHUNKS)
def test_a_png_with_much_text_is_decoded(kind: str) -> None:
    payload = png_with(PNG_CHUNKS[kind])
    assert (decode_photo(payload) == gradient()).all()
    # After the pixels as well.
    middle = payload.index(b"IDAT") - 4
    moved = payload[:33] + payload[middle:-12] + payload[33:middle] + payload[-12:]
    assert (decode_photo(moved) == gradient()).all()


def test_many_small_texts_are_ignored_too() -> None:
    chunk = (b"zTXt", b"layer\0\0" + zlib.compress(bytes(900_000), 9))
    assert (decode_photo(png_with(*[chunk] * 80)) == gradient()).all()


def test_a_truncated_png_with_much_text_is_a_reject() -> None:
    payload = png_with(PNG_CHUNKS["zTXt"])
    assert rejection(payload[: len(payload) - 200]).reason == "truncated"


def tiff(values: np.ndarray) -> bytes:
    return cv2.imencode(".tiff", values[..., ::-1] if values.ndim == 3 else values)[1].tobytes()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("white", [1, 255, 65535])
def test_a_tiff_of_floats_is_decoded_where_its_range_is_plain(dtype: type, white: int) -> None:
    decoded = decode_photo(tiff((gradient() / 255.0 * white).astype(dtype)))
    assert (decoded == gradient()).all()


def test_a_tiff_of_signed_or_long_integers_is_decoded() -> None:
    assert (decode_photo(tiff(gradient().astype(np.int16))) == gradient()).all()
    deep = gradient().astype(np.int32) * 257
    assert (decode_photo(tiff(deep)) == gradient()).all()


@pytest.mark.parametrize("scale", [3.2, 1e6, -1.0])
def test_a_tiff_of_radiances_is_rejected_with_its_pixel_type(scale: float) -> None:
    reject = rejection(tiff((gradient() / 255.0 * scale).astype(np.float32)))
    assert reject.reason == "undecodable"
    assert "3 x 32-bit float, with values from" in reject.message
    assert "save the photo with 8 or 16 bits" in reject.message


def test_a_tiff_of_half_floats_is_rejected_with_its_pixel_type() -> None:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, (gradient() / 255.0).astype(np.float16), photometric="rgb")
    assert "pixels of 3 x 16-bit float" in rejection(buffer.getvalue()).message


def test_a_huge_tiff_of_floats_is_not_decoded() -> None:
    image = np.zeros((16, 16, 3), np.float32)
    payload = bytearray(tiff(image))
    directory = int.from_bytes(payload[4:8], "little")
    for entry in range(directory + 2, len(payload) - 12, 12):
        if int.from_bytes(payload[entry : entry + 2], "little") in (256, 257):
            payload[entry + 2 : entry + 12] = struct.pack("<HII", 4, 1, 90_000)
    assert rejection(bytes(payload)).reason == "too-large"


FOREIGN = {
    "JPEG XL": b"\x00\x00\x00\x0cJXL \r\n\x87\n",
    "Photoshop": b"8BPS\0\1" + bytes(30),
    "web page": b"\n<!DOCTYPE html><html>403</html>",
    "SVG": b'<svg xmlns="http://www.w3.org/2000/svg"/>',
    "Git LFS": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
    "MPEG-4": b"\0\0\0\x18ftypqt  " + bytes(20),
    "gzip": b"\x1f\x8b\x08" + bytes(20),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_a_file_of_another_kind_is_named(name: str) -> None:
    reject = rejection(FOREIGN[name])
    assert reject.reason in ("undecodable", "too-small")
    assert name in reject.message
