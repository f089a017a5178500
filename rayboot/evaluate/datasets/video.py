"""Frames of a video file by number, without extracting them first.

Numbers count from 0, in the order in which OpenCV decodes. Seeking is not used, because it is off
by some frames in streams of JPEGs, nor is the frame count of the container, which such streams
lack.
"""

import weakref
from contextlib import ExitStack
from functools import lru_cache

import cv2
import numpy as np

from rayboot.errors import FaceRejectedError
from rayboot.io.storage import as_local_file

__all__ = ["count_frames", "read_frame"]

_NUM_CACHED_FRAMES = 16
"""Number of decoded frames in the cache, so that networks of several input sizes decode once."""

_MAX_FRAME_COUNT = 10**8
"""Larger frame counts are what OpenCV returns for a stream that declares none."""


def count_frames(uri: str) -> tuple[int, int | None]:
    """Counts the frames of a video by decoding all of them.

    This takes a second for some hundreds of frames of one megapixel.

    Returns:
        Number of frames that can be decoded, and the number that the container declares, None
        where it declares none.

    Raises:
        FaceRejectedError: The file is missing or is not a video (stage ``read``).
    """
    video = _Video(uri)
    while video.skip():
        pass
    return video.position, video.declared


@lru_cache(maxsize=_NUM_CACHED_FRAMES)
def read_frame(uri: str, number: int) -> np.ndarray:
    """Returns a frame (H, W, 3) uint8 RGB, read-only; reading frames in order is fastest.

    Raises:
        FaceRejectedError: The video is missing or damaged, or ends before the frame (stage
            ``read``).
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
            f"{uri}: frame {number} cannot be decoded; the video ends or is damaged after "
            f"{video.position} frames",
        )
    frame.flags.writeable = False
    return frame


class _Video:
    """An open video; ``position`` is the number of the next frame."""

    def __init__(self, uri: str) -> None:
        stack = ExitStack()
        # The local copy of a remote video is removed with this object.
        weakref.finalize(self, stack.close)
        try:
            path = stack.enter_context(as_local_file(uri))
            exists = path.is_file()
        except (FileNotFoundError, IsADirectoryError):
            exists = False
        if not exists:
            raise FaceRejectedError("read", "missing", f"{uri} does not exist")
        self._capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
        if not self._capture.isOpened():
            raise FaceRejectedError("read", "undecodable", f"{uri}: OpenCV cannot open it as video")
        count = self._capture.get(cv2.CAP_PROP_FRAME_COUNT)
        self.declared = int(count) if 0 < count < _MAX_FRAME_COUNT else None
        self.position = 0

    def skip(self) -> bool:
        """Skips a frame; returns False where none is left."""
        grabbed = bool(self._capture.grab())
        self.position += grabbed
        return grabbed

    def next(self) -> np.ndarray | None:
        """Returns the next frame, RGB, or None where none is left."""
        if not self.skip():
            return None
        decoded, frame = self._capture.retrieve()
        return np.ascontiguousarray(frame[:, :, ::-1]) if decoded else None


@lru_cache(maxsize=1)
def _open(uri: str) -> _Video:
    return _Video(uri)
