"""What a pairs data set holds, counted where it lies, and said at the end of a run."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

import pyarrow.compute as pc
import pyarrow.parquet as pq
import ray

from rayboot.io.retry import retry_io
from rayboot.io.storage import join_uri, list_files, open_file
from rayboot.pipeline.checkpoint_files import finished_files
from rayboot.pipeline.stage_usage import StageUsage

__all__ = ["GenerateSummary", "count_rows", "format_summary", "summarize"]

_T = TypeVar("_T")

_AT_ONCE = 32
"""Files that are asked for side by side: a store's answer takes far longer than what is read."""

_FILES_A_TASK = 2048
"""Of a set that has more; all nodes count then, since one asks a few hundred files a second."""


class GenerateSummary(NamedTuple):
    """What a data set holds in the end; rejects by (stage, reason).

    Attributes:
        uri: where it lies.
        num_faces: rows of them.
        num_views: in all faces.
        num_left_out: views that the volume does not hold.
        rejects: counts.
        stages: what each took in this run; empty where it had nothing left to do.
        seconds: of this run.
    """

    uri: str
    num_faces: int
    num_views: int
    num_left_out: int
    rejects: dict[tuple[str, str], int]
    stages: Mapping[str, StageUsage] = MappingProxyType({})
    seconds: float = 0.0


def count_rows(output: str) -> int:
    """Photos that are finished, face or reject; of the files only their ends are read."""
    return sum(_from_each(output, _parts(output), _num_rows))


def _num_rows(uri: str) -> int:
    with open_file(uri) as file:
        return pq.read_metadata(file).num_rows


def summarize(output: str) -> GenerateSummary:
    """Counts what is written at ``output``, finished or not."""
    files = _parts(output)
    faces, views, left_out = 0, 0, 0
    for counts in _from_each(output, [name for name in files if _is_faces(name)], _count_faces):
        faces, views, left_out = faces + counts[0], views + counts[1], left_out + counts[2]
    rejects: Counter[tuple[str, str]] = Counter()
    for found in _from_each(output, [name for name in files if not _is_faces(name)], _rejects):
        rejects.update(found)
    return GenerateSummary(output, faces, views, left_out, dict(rejects))


def _is_faces(name: str) -> bool:
    return name.startswith("outcome=face/")


def _count_faces(uri: str) -> tuple[int, int, int]:
    """Faces, views, views left out. Only these columns are fetched, not the images beside them."""
    with open_file(uri) as file:
        part = pq.ParquetFile(file, pre_buffer=True)
        table = part.read(columns=["num_views_left_out", "views.list.element.yaw_deg"])
    views = pc.sum(pc.list_value_length(table["views"])).as_py() or 0
    return len(table), views, pc.sum(table["num_views_left_out"]).as_py() or 0


def _rejects(uri: str) -> Counter[tuple[str, str]]:
    with open_file(uri) as file:
        table = pq.ParquetFile(file, pre_buffer=True).read(columns=["stage", "reason"])
    return Counter(zip(*(table[key].to_pylist() for key in ("stage", "reason")), strict=True))


def _from_each(output: str, names: list[str], read: Callable[[str], _T]) -> Iterator[_T]:
    """What ``read`` tells of each file, in their order."""
    starts = range(0, len(names), _FILES_A_TASK)
    parts = [names[start : start + _FILES_A_TASK] for start in starts]
    if len(parts) > 1 and ray.is_initialized():
        task: Any = ray.remote(num_cpus=1)(_from_some)
        # All are asked at once, and answers taken in order.
        for answer in [task.remote(output, part, read) for part in parts]:
            yield from ray.get(answer)
    else:
        for part in parts:
            yield from _from_some(output, part, read)


def _from_some(output: str, names: list[str], read: Callable[[str], _T]) -> list[_T]:
    def ask(name: str) -> _T:
        uri = join_uri(output, name)
        return retry_io(partial(read, uri), uri)

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(pool.map(ask, names))


def _parts(output: str) -> list[str]:
    names = list_files(output)
    rows = [name for name in names if name.startswith("outcome=") and name.endswith(".parquet")]
    return finished_files(output, rows)


def format_summary(summary: GenerateSummary) -> str:
    """For a person, some lines."""
    lines = [f"{summary.num_faces} faces, {summary.num_views} views"]
    if summary.num_left_out:
        lines[0] += f" ({summary.num_left_out} more would leave the volume)"
    for (stage, reason), count in sorted(summary.rejects.items()):
        lines.append(f"{count} rejected: {stage}, {reason}")
    if summary.stages:
        num_photos = max(use.rows for use in summary.stages.values())
        rate = num_photos / max(summary.seconds, 1e-9)
        lines.append(f"{num_photos} photos in {_duration(summary.seconds)}, {rate:.1f} a second")
        for name, use in summary.stages.items():
            lines.append(f"  {name}: {1000 * use.cpu_s / max(use.rows, 1):.0f} ms of CPU a photo")
    lines.append(f"pairs    {join_uri(summary.uri, 'outcome=face')}")
    if summary.rejects:
        lines.append(f"rejects  {join_uri(summary.uri, 'outcome=reject')}")
    lines.append(f"manifest {join_uri(summary.uri, 'manifest.json')}")
    return "\n".join(lines)


def _duration(seconds: float) -> str:
    hours, rest = divmod(round(seconds), 3600)
    minutes, rest = divmod(rest, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
