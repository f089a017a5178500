"""Summary of a pairs data set: faces, views and rejects, counted from its files."""

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

import pyarrow.compute as pc

from rayboot.counts import describe_count
from rayboot.io.parquet import count_rows, read_table
from rayboot.io.retry import retry_io
from rayboot.io.storage import join_uri, list_files
from rayboot.pipeline.checkpoint_files import finished_files
from rayboot.pipeline.stage_usage import StageUsage
from rayboot.pipeline.unused_landmarks import count_unused_landmarks, describe_unused_landmarks

__all__ = [
    "GenerateSummary",
    "count_finished_photos",
    "format_summary",
    "list_row_files",
    "summarize",
]

_T = TypeVar("_T")

_NUM_CONCURRENT = 32
"""Number of files read at a time; the latency of a store is far longer than the transfer."""

_FILES_PER_TASK = 2048
"""Number of files that one Ray task reads where a data set has more; all nodes then take part,
since one node reads a few hundred files a second."""


class GenerateSummary(NamedTuple):
    """Contents of a pairs data set, and what the run that finished it used.

    Attributes:
        uri: URI of the data set.
        num_faces: number of rows of faces.
        num_views: number of views of all faces.
        num_views_left_out: number of views that would leave the volume.
        rejects: number of rejects by (stage, reason).
        unused_landmarks: number of photos whose landmark file was not used, by the reason.
        stages: resources that each stage used in this run; empty if no photo was left to do.
        seconds: duration of this run.
    """

    uri: str
    num_faces: int
    num_views: int
    num_views_left_out: int
    rejects: dict[tuple[str, str], int]
    unused_landmarks: Mapping[str, int] = MappingProxyType({})
    stages: Mapping[str, StageUsage] = MappingProxyType({})
    seconds: float = 0.0


def count_finished_photos(output: str) -> int:
    """Returns the number of photos with a face or a reject; only footers of files are read."""
    return sum(_map_files(output, list_row_files(output), count_rows))


def summarize(output: str) -> GenerateSummary:
    """Counts the rows written at ``output``, whether the data set is finished or not."""
    names = list_row_files(output)
    face_files = [name for name in names if _has_faces(name)]
    reject_files = [name for name in names if not _has_faces(name)]
    num_faces, num_views, num_views_left_out = 0, 0, 0
    unused_landmarks: Counter[str] = Counter()
    for faces, views, left_out, unused in _map_files(output, face_files, _count_faces):
        num_faces, num_views = num_faces + faces, num_views + views
        num_views_left_out += left_out
        unused_landmarks.update(unused)
    rejects: Counter[tuple[str, str]] = Counter()
    for counts, unused in _map_files(output, reject_files, _count_rejects):
        rejects.update(counts)
        unused_landmarks.update(unused)
    return GenerateSummary(
        output, num_faces, num_views, num_views_left_out, dict(rejects), dict(unused_landmarks)
    )


def _has_faces(name: str) -> bool:
    return name.startswith("outcome=face/")


def _count_faces(uri: str) -> tuple[int, int, int, Counter[str]]:
    """Returns the numbers of faces, views, views left out and unused landmark files by reason.

    Images are not read.
    """
    # A column that a data set of an earlier version lacks is left out.
    names = ["num_views_left_out", "views.list.element.yaw_deg", "unused_landmarks"]
    table = read_table(uri, columns=names)
    views = pc.sum(pc.list_value_length(table["views"])).as_py() or 0
    left_out = pc.sum(table["num_views_left_out"]).as_py() or 0
    return len(table), views, left_out, count_unused_landmarks(table)


def _count_rejects(uri: str) -> tuple[Counter[tuple[str, str]], Counter[str]]:
    """Returns the numbers of rejects by stage and reason, and of unused landmark files."""
    table = read_table(uri, columns=["stage", "reason", "unused_landmarks"])
    pairs = zip(table["stage"].to_pylist(), table["reason"].to_pylist(), strict=True)
    return Counter(pairs), count_unused_landmarks(table)


def _map_files(output: str, names: list[str], read: Callable[[str], _T]) -> Iterator[_T]:
    """Yields the result of ``read`` for the URI of each file, in their order."""
    starts = range(0, len(names), _FILES_PER_TASK)
    parts = [names[start : start + _FILES_PER_TASK] for start in starts]
    if len(parts) > 1 and (ray := _initialized_ray()) is not None:
        task: Any = ray.remote(num_cpus=1)(_read_files)
        # All tasks are submitted first, and their results are fetched in order.
        for result in [task.remote(output, part, read) for part in parts]:
            yield from ray.get(result)
    else:
        for part in parts:
            yield from _read_files(output, part, read)


def _initialized_ray() -> Any:
    """Returns Ray if this process uses it; None without, or where it is not installed."""
    ray = sys.modules.get("ray")
    return ray if ray is not None and ray.is_initialized() else None


def _read_files(output: str, names: list[str], read: Callable[[str], _T]) -> list[_T]:
    def read_one(name: str) -> _T:
        uri = join_uri(output, name)
        return retry_io(partial(read, uri), uri)

    with ThreadPoolExecutor(_NUM_CONCURRENT) as pool:
        return list(pool.map(read_one, names))


def list_row_files(output: str) -> list[str]:
    """Returns the files of rows that are written completely, relative to ``output``."""
    names = list_files(output)
    row_files = [
        name for name in names if name.startswith("outcome=") and name.endswith(".parquet")
    ]
    return finished_files(output, row_files)


def format_summary(summary: GenerateSummary) -> str:
    """Formats a summary as lines of text."""
    lines = [
        f"{describe_count(summary.num_faces, 'face')}, {describe_count(summary.num_views, 'view')}"
    ]
    if summary.num_views_left_out:
        lines[0] += f" ({summary.num_views_left_out} more would leave the volume)"
    if summary.unused_landmarks:
        lines.append(describe_unused_landmarks(summary.unused_landmarks))
    for (stage, reason), count in sorted(summary.rejects.items()):
        lines.append(f"{count} rejected: {stage}, {reason}")
    if summary.stages:
        # Photos of a lost actor pass its stage again, but have one row each.
        num_rows = summary.num_faces + sum(summary.rejects.values())
        num_photos = min(num_rows, max(usage.rows for usage in summary.stages.values()))
        rate = num_photos / max(summary.seconds, 1e-9)
        lines.append(
            f"{describe_count(num_photos, 'photo')} in {_format_duration(summary.seconds)}, "
            f"{rate:.1f} photos per second"
        )
        for name, usage in summary.stages.items():
            cpu_ms = 1000 * usage.cpu_s / max(usage.rows, 1)
            lines.append(f"  {name}: {cpu_ms:.0f} ms of CPU per photo")
    lines.append(f"pairs    {join_uri(summary.uri, 'outcome=face')}")
    if summary.rejects:
        lines.append(f"rejects  {join_uri(summary.uri, 'outcome=reject')}")
    lines.append(f"manifest {join_uri(summary.uri, 'manifest.json')}")
    return "\n".join(lines)


def _format_duration(seconds: float) -> str:
    hours, rest = divmod(round(seconds), 3600)
    minutes, rest = divmod(rest, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
