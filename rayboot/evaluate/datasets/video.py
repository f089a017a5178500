"""Frames of a video file, by number, without extracting them first.

Numbers count from 0, in the order in which OpenCV decodes; no seeking, which is off by some
frames in streams of JPEGs, and no trust in a container's own count, which such streams lack.
"""

import weakref
from contextlib import ExitStack
from functools import lru_cache

import cv2
import numpy as np

from rayboot.errors import FaceRejectedError
from rayboot.io.storage import as_local_file

__all__ = ["count_frames", "read_frame"]

_FRAMES_KEPT = 16
"""So that networks of several sizes see a batch of frames decoded once."""

_MOST_CLAIMED = 10**8
"""What is beyond is no count, but what a stream without one gives."""


def count_frames(uri: str) -> tuple[int, int | None]:
    """How many frames can be decoded, and how many the container claims; None if it does not.

    All are decoded, some hundreds a second where they have a megapixel.

    Raises:
        FaceRejectedError: stage ``read``: it is missing or no video.
    """
    video = _Video(uri)
    while video.skip():
        pass
    return video.position, video.claimed


@lru_cache(maxsize=_FRAMES_KEPT)
def read_frame(uri: str, number: int) -> np.ndarray:
    """A frame (H, W, 3) uint8 RGB, read-only; quick where frames are asked for in order.

    Raises:
        FaceRejectedError: stage ``read``: the video is missing or damaged, or has ended before.
    """
    video = _open(uri)
    if video.position > number:
        _open.cache_clear()
        video = _open(uri)
    while video.position < number and video.skip():
        pass
    frame = video.next()
    if frame is None:
        raise FaceRejectedError(
            "read",
            "undecodable",
            f"{uri}: frame {number} cannot be decoded; the video ends or "
            f"breaks off after {video.position}",
        )
    frame.flags.writeable = False
    return frame


class _Video:
    """An open video, at the frame that comes next."""

    def __init__(self, uri: str) -> None:
        stack = ExitStack()
        # The copy of a remote video goes when this does.
        weakref.finalize(self, stack.close)
        try:
            path = stack.enter_context(as_local_file(uri))
            there = path.is_file()
        except (FileNotFoundError, IsADirectoryError):
            there = False
        if not there:
            raise FaceRejectedError("read", "missing", f"{uri} is not there")
        self._capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
        if not self._capture.isOpened():
            raise FaceRejectedError("read", "undecodable", f"{uri}: OpenCV finds no video in it")
        count = self._capture.get(cv2.CAP_PROP_FRAME_COUNT)
        self.claimed = int(count) if 0 < count < _MOST_CLAIMED else None
        self.position = 0

    def skip(self) -> bool:
        """Passes over a frame; False where none is left."""
        done = bool(self._capture.grab())
        self.position += done
        return done

    def next(self) -> np.ndarray | None:
        """The next frame, RGB; None where none is left."""
        if not self.skip():
            return None
        done, frame = self._capture.retrieve()
        return np.ascontiguousarray(frame[:, :, ::-1]) if done else None


@lru_cache(maxsize=1)
def _open(uri: str) -> _Video:
    return _Video(uri)
