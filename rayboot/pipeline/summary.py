"""What a pairs data set holds, counted where it lies, and said at the end of a run."""

from collections import Counter
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import pyarrow.parquet as pq

from rayboot.data.storage import join_uri, list_files, open_file
from rayboot.pipeline.checkpoint import finished_files
from rayboot.pipeline.request import CHECKPOINT
from rayboot.pipeline.stage import StageUse

__all__ = ["GenerateSummary", "count_rows", "format_summary", "summarize"]


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
    stages: Mapping[str, StageUse] = MappingProxyType({})
    seconds: float = 0.0


def count_rows(output: str) -> int:
    """Photos that are finished, face or reject; of the files only their ends are read."""
    count = 0
    for name in _parts(output):
        with open_file(join_uri(output, name)) as file:
            count += pq.read_metadata(file).num_rows
    return count


def summarize(output: str) -> GenerateSummary:
    """Counts what is written at ``output``, finished or not."""
    faces, left_out, views = 0, 0, 0
    rejects: Counter[tuple[str, str]] = Counter()
    for name in _parts(output):
        # Only the columns counted are fetched, not the images beside them.
        with open_file(join_uri(output, name)) as file:
            part = pq.ParquetFile(file, pre_buffer=True)
            if name.startswith("outcome=face/"):
                table = part.read(columns=["num_views_left_out", "views.list.element.yaw_deg"])
                faces += len(table)
                left_out += sum(table["num_views_left_out"].to_pylist())
                views += sum(len(row) for row in table["views"].to_pylist())
            else:
                table = part.read(columns=["stage", "reason"])
                pairs = (table[key].to_pylist() for key in ("stage", "reason"))
                rejects.update(zip(*pairs, strict=True))
    return GenerateSummary(output, faces, views, left_out, dict(rejects))


def _parts(output: str) -> list[str]:
    names = list_files(output)
    rows = [name for name in names if name.startswith("outcome=") and name.endswith(".parquet")]
    return finished_files(output, rows, CHECKPOINT)


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
