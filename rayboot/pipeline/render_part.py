"""Photos, landmarks and ground truth of a part of a synthetic data set."""

from functools import cache, partial

import cv2
import pyarrow as pa
from threadpoolctl import threadpool_limits

from rayboot.data.ground_truth import TRUTH_SCHEMA, write_truth
from rayboot.io.retry import retry_io
from rayboot.io.storage import join_uri, write_bytes
from rayboot.io.torch7 import write_torch7
from rayboot.logs import LogContext, adopt_context
from rayboot.render import Renderer
from rayboot.synthesis import SynthesisConfig
from rayboot.synthesis.synthetic_face import make_face

__all__ = ["PHOTOS_PER_PART", "RenderPart"]

PHOTOS_PER_PART = 50
"""Number of photos in one file of the ground truth, which one process makes at a time."""

_FOLDER = "Synthetic-3D"


@cache
def _renderer(size: int) -> Renderer:
    # A process should keep its renderer, whichever data set it is for.
    # Hairs and rims of glasses are thinner than a pixel.
    return Renderer(size, supersample=2)


class RenderPart:
    """Renders the photos of one part after the other; uses the process's OpenGL context.

    Args:
        config: settings of the data set.
        output: URI of the data set.
        log: context of log lines, where this is a process of its own; None changes nothing.
    """

    def __init__(self, config: SynthesisConfig, output: str, log: LogContext | None = None) -> None:
        if log is not None:
            adopt_context(log)
            # Every core has a process already, so more threads would only compete for cores.
            threadpool_limits(1)
            cv2.setNumThreads(1)
        self._config, self._output = config, output
        self._renderer = _renderer(config.photo_size)

    def render(self, part: int, numbers: range) -> int:
        """Writes a part, its ground truth last; returns its number of photos.

        Args:
            part: number of the file of the ground truth.
            numbers: numbers of the photos.

        Raises:
            StoreError: the store stayed unavailable.
            DiskFullError: the disk is full.
        """
        rows = []
        for number in numbers:
            stem = f"{_FOLDER}/{number:06d}"
            face = make_face(self._config, number, f"{stem}.jpg", self._renderer)
            self._write(f"{stem}.jpg", face.photo.jpeg)
            self._write(f"{stem}.t7", write_torch7(face.photo.landmarks))
            rows.append(face.truth)
        table = pa.Table.from_pylist(rows, schema=TRUTH_SCHEMA)
        retry_io(partial(write_truth, self._output, part, table), self._output)
        return len(numbers)

    def _write(self, name: str, payload: bytes) -> None:
        uri = join_uri(self._output, name)
        retry_io(partial(write_bytes, uri, payload), uri)
