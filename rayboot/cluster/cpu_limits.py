"""Processor cores that this process may use: its affinity, and the CPU quota of its container.

A container with a quota of one CPU on a machine of 64 cores still sees all of them: processes and
threads for each would only wait for one another.
"""

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

__all__ = ["count_usable_cores"]

_ROOT = Path("/")
_V1_CONTROLLER = "cpu"


def count_usable_cores(root: Path = _ROOT) -> int:
    """Returns the number of cores that the process may use, at least 1.

    Args:
        root: Folder with ``proc`` and ``sys``, where the quotas of cgroups (version 1 and 2) are
            read. A quota is rounded down.
    """
    quotas = (quota for folder in _cgroup_folders(root) for quota in _read_quotas(folder))
    return max(1, int(min([len(os.sched_getaffinity(0)), *quotas])))


def _cgroup_folders(root: Path) -> Iterator[Path]:
    """Yields the folders of the process's groups and of those around them: each limits it."""
    mount = root / "sys/fs/cgroup"
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, group = rest.partition(":")
        if not controllers:
            mounts = [mount]
        elif _V1_CONTROLLER in controllers.split(","):
            mounts = [mount / name for name in dict.fromkeys((controllers, _V1_CONTROLLER))]
        else:
            continue
        # In a container the path may be the host's; what is not there limits nothing.
        inner = PurePosixPath(*[part for part in group.split("/") if part not in ("", "..")])
        for folder in mounts:
            yield from (folder / part for part in (inner, *inner.parents))


def _read_quotas(folder: Path) -> Iterator[float]:
    """Yields the quota of a group in cores, of either version; nothing where it has none."""
    quota, _, period = _read(folder / "cpu.max").partition(" ")
    for texts in (
        (quota, period),
        (_read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us")),
    ):
        # No quota is "max" in version 2, and -1 in version 1.
        if all(text.strip().isdecimal() and int(text) > 0 for text in texts):
            yield int(texts[0]) / int(texts[1])


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace").strip()
    except OSError:
        return ""
