"""Memory of Ray's processes and its object store during a run."""

import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import ray

__all__ = ["Watch", "watching"]

_INTERVAL_S = 10.0
_MB = 1e6


class Watch:
    """Samples of memory use, one every ten seconds.

    Attributes:
        driver_mb: proportional memory (PSS) of this process.
        all_mb: proportional memory of this process and all its descendants.
        store_mb: memory in use in the object store.
    """

    def __init__(self) -> None:
        self.driver_mb: list[float] = []
        self.all_mb: list[float] = []
        self.store_mb: list[float] = []
        node = ray._private.worker._global_node
        if node is None:
            raise RuntimeError("Ray must be initialised before it is watched")
        self._log: Path = Path(node.get_logs_dir_path()) / "raylet.out"

    def sample(self) -> None:
        """Takes one sample."""
        pid = os.getpid()
        self.driver_mb.append(_proportional_mb(pid))
        self.all_mb.append(sum(map(_proportional_mb, _descendants(pid))))
        name = "object_store_memory"
        used = ray.cluster_resources()[name] - ray.available_resources().get(name, 0.0)
        self.store_mb.append(used / _MB)

    def record(self) -> dict[str, object]:
        """Returns peaks, and the driver's memory at every tenth of the time."""
        indices = [round(tenth / 10 * (len(self.driver_mb) - 1)) for tenth in range(11)]
        return {
            "driver_mb": [round(self.driver_mb[index]) for index in indices],
            "peak_all_processes_mb": max(self.all_mb),
            "peak_object_store_mb": max(self.store_mb),
            "spilled_mb": self._spilled_mb(),
        }

    def _spilled_mb(self) -> float:
        """Returns megabytes spilled to disk so far, which Ray reports in its log only."""
        spilled = re.findall(r"Spilled (\d+) ([KMG])iB", self._log.read_text(errors="replace"))
        factors = {"K": 2**10 / _MB, "M": 2**20 / _MB, "G": 2**30 / _MB}
        return max((int(number) * factors[unit] for number, unit in spilled), default=0.0)


@contextmanager
def watching() -> Iterator[Watch]:
    """Samples in the background during a ``with`` block; Ray must be initialised."""
    watch, done = Watch(), threading.Event()
    watch.sample()

    def run() -> None:
        while not done.wait(_INTERVAL_S):
            watch.sample()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield watch
    finally:
        done.set()
        thread.join()


def _proportional_mb(process: int) -> float:
    """Returns the PSS of a process: shared memory counts to each sharing process in part."""
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    except OSError:  # it ended
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1000


def _descendants(process: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        children.setdefault(parent, []).append(int(folder.name))
    descendants, queue = [], [process]
    while queue:
        descendants.append(queue.pop())
        queue += children.get(descendants[-1], [])
    return descendants
