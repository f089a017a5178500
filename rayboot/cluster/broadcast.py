"""Broadcast of a file of the driver to workers on machines that do not have it."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import ray

__all__ = ["BroadcastFile"]


class BroadcastFile(NamedTuple):
    """A file in Ray's object store, which sends it to each machine once, for all its workers.

    Attributes:
        name: name of the file; readers recognise the format by its suffix.
        content: reference to the bytes, (B,) uint8.
    """

    name: str
    content: "ray.ObjectRef[np.ndarray]"

    @classmethod
    def put(cls, path: Path) -> "BroadcastFile":
        """Stores a file of this machine; Ray must be initialised."""
        return cls(path.name, ray.put(np.fromfile(path, np.uint8)))

    @contextmanager
    def local_path(self) -> Iterator[Path]:
        """Yields the path of a copy on the worker's own disk, for the time of a ``with`` block."""
        with tempfile.TemporaryDirectory(prefix="rayboot-broadcast-") as folder:
            copy = Path(folder, self.name)
            ray.get(self.content).tofile(copy)
            yield copy
