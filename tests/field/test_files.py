"""Folders with more than photos: links, pipes, devices, files that change while they are read."""

import io
import os
import threading
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from rayboot.data.fetch import PhotoFetcher
from rayboot.data.images import decode_photo
from rayboot.data.readers import list_photos
from rayboot.errors import FaceRejectedError, RequestError
from rayboot.io.storage import list_files
from rayboot.pipeline.listing import list_inputs, mark_duplicates
from tests.data.readers.layouts import fetch_all


def encoded(image: PIL.Image.Image, image_format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, image_format, **options)
    return buffer.getvalue()


def plain(color: str, side: int = 32) -> PIL.Image.Image:
    return PIL.Image.new("RGB", (side, side), color)


def test_pipes_and_devices_are_rejects_and_block_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"1")
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "zero.jpg").symlink_to("/dev/zero")
    (tmp_path / "folder.jpg").mkdir()
    fetched: dict = {}
    # A daemon, so that the test ends even if a pipe is read.
    thread = threading.Thread(target=lambda: fetched.update(fetch_all(str(tmp_path))), daemon=True)
    thread.start()
    thread.join(60)
    assert set(fetched) == {"a.jpg", "pipe.jpg", "zero.jpg"}
    for name in ("pipe.jpg", "zero.jpg"):
        reject = fetched[name]
        assert isinstance(reject, FaceRejectedError)
        assert (reject.stage, reject.reason) == ("read", "no-file")
        assert "pipe, socket or device" in reject.message
    assert mark_duplicates(list_inputs(str(tmp_path)))["duplicate_of"].null_count == 3


def test_a_pipe_of_photos_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "photos.tar")
    with pytest.raises(RequestError, match="pipe, socket or device"):
        list_photos(str(tmp_path))


def test_linked_folders_are_followed_once_in_every_run(tmp_path: Path) -> None:
    for name in ("b/real", "a"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "b/real/x.jpg").write_bytes(b"1")
    (tmp_path / "b/again").symlink_to("real")  # before "real" in the alphabet
    (tmp_path / "b/real/loop").symlink_to("../..")
    (tmp_path / "outside").symlink_to(tmp_path / "b/real")
    assert list_files(str(tmp_path)) == ["b/real/x.jpg"]


def test_a_file_that_vanishes_or_shrinks_is_a_reject(tmp_path: Path) -> None:
    payload = encoded(PIL.Image.effect_noise((200, 200), 50), "JPEG")
    for name in ("gone.jpg", "shrunk.jpg", "whole.jpg"):
        (tmp_path / name).write_bytes(payload)
    rows = list_photos(str(tmp_path))
    assert rows["num_bytes"].to_pylist() == [len(payload)] * 3
    (tmp_path / "gone.jpg").unlink()
    (tmp_path / "shrunk.jpg").write_bytes(payload[:1000])
    gone, shrunk, whole = PhotoFetcher().fetch(rows.to_pylist())
    assert isinstance(gone, FaceRejectedError) and gone.reason == "missing"
    with pytest.raises(FaceRejectedError, match="truncated"):
        decode_photo(shrunk.photo)
    assert decode_photo(whole.photo).shape == (200, 200, 3)


def test_a_file_that_grows_is_read_as_it_is(tmp_path: Path) -> None:
    payload = encoded(plain("red"), "PNG")
    (tmp_path / "a.png").write_bytes(payload[:50])
    rows = list_photos(str(tmp_path)).to_pylist()
    (tmp_path / "a.png").write_bytes(payload)
    (photo,) = PhotoFetcher().fetch(rows)
    assert photo.photo == payload


@pytest.mark.parametrize("image_format", ["WEBP", "PNG", "GIF", "AVIF", "BMP"])
def test_the_content_decides_and_not_the_suffix(image_format: str, tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(encoded(plain("red"), image_format))
    (photo,) = fetch_all(str(tmp_path)).values()
    assert np.abs(decode_photo(photo.photo)[5, 5] - np.array([255.0, 0, 0])).max() <= 6


@pytest.mark.parametrize("image_format", ["GIF", "PNG", "WEBP", "AVIF", "TIFF"])
def test_the_first_frame_of_an_animation_is_shown(image_format: str) -> None:
    frames = [plain(color) for color in ("red", "blue")]
    payload = encoded(frames[0], image_format, save_all=True, append_images=frames[1:])
    assert np.abs(decode_photo(payload)[5, 5] - np.array([255.0, 0, 0])).max() <= 6


def test_an_empty_file_is_a_reject() -> None:
    with pytest.raises(FaceRejectedError, match="empty"):
        decode_photo(b"")


def test_cmyk_of_adobe_is_not_a_negative() -> None:
    # Adobe's programs store CMYK in JPEG inverted, with a marker that says so; Pillow does too.
    payload = encoded(PIL.Image.new("CMYK", (32, 32), (0, 255, 255, 0)), "JPEG", quality=100)
    assert b"Adobe" in payload
    assert np.abs(decode_photo(payload)[5, 5] - np.array([255.0, 0, 0])).max() <= 3


def test_a_panorama_is_decoded() -> None:
    photo = np.zeros((200, 30_000, 3), np.uint8)
    photo[:, -100:] = 255
    decoded = decode_photo(encoded(PIL.Image.fromarray(photo), "PNG"))
    assert (decoded == photo).all()
