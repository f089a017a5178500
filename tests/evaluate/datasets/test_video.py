from collections.abc import Callable
from pathlib import Path

import cv2
import fsspec
import numpy as np
import pytest

from rayboot.errors import FaceRejectedError
from rayboot.evaluate.datasets.video import count_frames, read_frame
from tests.evaluate.datasets.synthetic_scans import PHOTO_SIZE, make_photo, write_avi, write_stream

Writer = Callable[[Path, int], None]


@pytest.mark.parametrize("write", [write_stream, write_avi])
@pytest.mark.parametrize("suffix", [".mjpg", ".mjpeg"])
def test_frames_are_counted_and_read_in_any_order(
    tmp_path: Path, write: Writer, suffix: str
) -> None:
    path = tmp_path / f"a{suffix}"
    write(path, 11)
    count, declared = count_frames(str(path))
    assert count == 11 and declared in (None, 11)
    for number in (0, 1, 5, 10, 3, 3, 9, 0):
        frame = read_frame(str(path), number)
        assert frame.shape == (*PHOTO_SIZE[::-1], 3)
        assert np.abs(frame.astype(int) - make_photo(number)).max() < 5


def test_colours_are_in_order(tmp_path: Path) -> None:
    image = np.zeros((240, 300, 3), np.uint8)
    image[..., 2] = 200  # red, as OpenCV has it
    (tmp_path / "a.mjpg").write_bytes(cv2.imencode(".jpg", image)[1].tobytes() * 2)
    frame = read_frame(str(tmp_path / "a.mjpg"), 1)
    assert frame[..., 0].mean() > 190 and frame[..., 2].mean() < 10


def test_a_container_may_declare_more_frames_than_it_has(tmp_path: Path) -> None:
    path = tmp_path / "a.mjpg"
    write_avi(path, 11)
    path.write_bytes(path.read_bytes()[: int(0.8 * path.stat().st_size)])
    count, declared = count_frames(str(path))
    assert declared == 11 and 0 < count < 11
    with pytest.raises(FaceRejectedError, match=f"frame {count} cannot be decoded"):
        read_frame(str(path), count)
    assert read_frame(str(path), 0).shape == (240, 300, 3)


@pytest.mark.parametrize("payload", [b"", b"nonsense" * 100])
def test_other_files_and_missing_videos_are_named(tmp_path: Path, payload: bytes) -> None:
    (tmp_path / "a.mjpg").write_bytes(payload)
    for call in (lambda uri: count_frames(uri), lambda uri: read_frame(uri, 0)):
        with pytest.raises(FaceRejectedError, match=r"undecodable: .*a\.mjpg"):
            call(str(tmp_path / "a.mjpg"))
        with pytest.raises(FaceRejectedError, match=r"missing: .*b\.mjpg"):
            call(str(tmp_path / "b.mjpg"))


def test_the_copy_of_a_remote_video_exists_while_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:

    monkeypatch.setenv("TMPDIR", str(tmp_path / "copies"))
    monkeypatch.setattr("tempfile.tempdir", None)
    (tmp_path / "copies").mkdir()
    write_stream(tmp_path / "a.mjpg", 4)
    fsspec.filesystem("memory").pipe_file("/films/a.mjpg", (tmp_path / "a.mjpg").read_bytes())
    uri = "memory://films/a.mjpg"
    assert count_frames(uri)[0] == 4
    assert not list((tmp_path / "copies").iterdir())
    assert read_frame(uri, 2).shape == (240, 300, 3)
    assert len(list((tmp_path / "copies").iterdir())) == 1
    assert read_frame(uri, 1).shape == (240, 300, 3)
    read_frame(str(tmp_path / "a.mjpg"), 0)
    assert not list((tmp_path / "copies").iterdir())
