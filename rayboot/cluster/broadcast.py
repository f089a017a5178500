"""A file of the driver's, carried to workers on machines that do not have it."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import ray

__all__ = ["BroadcastFile"]


class BroadcastFile(NamedTuple):
    """A file in Ray's object store: it goes to each machine once, however many workers ask.

    Attributes:
        name: with the suffix, which tells readers the format.
        content: of the file, (B,) uint8.
    """

    name: str
    content: ray.ObjectRef

    @classmethod
    def of(cls, path: Path) -> "BroadcastFile":
        """Takes in a file of this machine; Ray must be initialised."""
        return cls(path.name, ray.put(np.fromfile(path, np.uint8)))

    @contextmanager
    def unpacked(self) -> Iterator[Path]:
        """The path of a copy on the worker's own disk, for the time of a ``with`` block."""
        with tempfile.TemporaryDirectory(prefix="rayboot-carried-") as folder:
            copy = Path(folder, self.name)
            ray.get(self.content).tofile(copy)
            yield copy
