"""A stage in its actor: what it does is its own, what it costs is counted here."""

import time
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

import pyarrow as pa
import ray
from ray.util import metrics

from rayboot.pipeline.isolation import Isolated, Rejecting, Stage
from rayboot.progress import Progress

__all__ = ["Isolation", "StageActor", "StageUse", "Tally", "read_progress"]


class StageUse(NamedTuple):
    """What the actors of a stage did, all together.

    Attributes:
        rows: photos that passed.
        busy_s: time spent on them.
        num_bytes: of what they handed on.
    """

    rows: int
    busy_s: float
    num_bytes: int


class Tally:
    """Adds up what stages did, wherever they run: an actor's class."""

    def __init__(self) -> None:
        self._use: dict[str, StageUse] = {}
        self._rejects: Counter[str] = Counter()

    def note(self, stage: str, use: StageUse, rejects: dict[str, int]) -> None:
        """One batch; ``rejects`` are counts by ``stage, reason``."""
        former = self._use.get(stage, StageUse(0, 0.0, 0))
        self._use[stage] = StageUse(
            former.rows + use.rows,
            former.busy_s + use.busy_s,
            former.num_bytes + use.num_bytes,
        )
        self._rejects.update(rejects)

    def read(self) -> tuple[dict[str, StageUse], dict[str, int]]:
        """By stage, and rejects so far."""
        return self._use, dict(self._rejects)


def read_progress(tally: Any, last_stage: str) -> Progress | None:
    """How far a run is whose last stage is that; None before its first batch.

    Args:
        tally: handle of an actor of :class:`Tally`.
        last_stage: name.
    """
    use, rejects = ray.get(tally.read.remote())
    if last_stage not in use:
        return None
    text = ""
    if rejects:
        (most, count), *_ = Counter(rejects).most_common(1)
        text = f"{sum(rejects.values())} rejected ({count} {most})"
    return Progress(use[last_stage].rows, None, text)


class Isolation(NamedTuple):
    """How a stage runs apart from its actor; see :class:`~rayboot.pipeline.isolation.Isolated`."""

    reject: Rejecting
    seconds_a_photo: float


class StageActor:
    """Runs a stage; tells the tally, and Ray's metrics, of every batch.

    Metrics: ``rayboot_photos_total`` and ``rayboot_busy_seconds_total`` by stage,
    ``rayboot_rejects_total`` by stage and reason.

    Args:
        name: of the stage.
        make: its class.
        arguments: for it.
        tally: handle of an actor of :class:`Tally`.
        isolation: runs it in a process of its own; None runs it here.
    """

    def __init__(
        self,
        name: str,
        make: Callable[..., Stage],
        arguments: dict[str, Any],
        tally: Any,
        isolation: Isolation | None = None,
    ) -> None:
        self._name, self._tally = name, tally
        self._stage: Stage = (
            Isolated(make, arguments, isolation.reject, isolation.seconds_a_photo)
            if isolation
            else make(**arguments)
        )
        by_stage = {"tag_keys": ("stage",)}
        self._photos = metrics.Counter("rayboot_photos_total", "Photos done.", **by_stage)
        self._busy = metrics.Counter("rayboot_busy_seconds_total", "Time at work.", **by_stage)
        self._rejects = metrics.Counter(
            "rayboot_rejects_total", "Photos rejected.", tag_keys=("stage", "reason")
        )

    def __call__(self, table: pa.Table) -> pa.Table:
        """One batch."""
        started = time.perf_counter()
        made = self._stage(table)
        use = StageUse(len(made), time.perf_counter() - started, made.nbytes)
        rejects = _new_rejects(table, made)
        self._photos.inc(use.rows, {"stage": self._name})
        self._busy.inc(use.busy_s, {"stage": self._name})
        for (stage, reason), count in rejects.items():
            self._rejects.inc(count, {"stage": stage, "reason": reason})
        named = {f"{stage}, {reason}": count for (stage, reason), count in rejects.items()}
        self._tally.note.remote(self._name, use, named)
        return made


def _new_rejects(before: pa.Table, after: pa.Table) -> Counter[tuple[str, str]]:
    """Rows that came in alive and go out as rejects."""
    if "reason" not in after.schema.names:
        return Counter()
    names = before.schema.names
    was = before["reason"].to_pylist() if "reason" in names else [None] * len(before)
    pairs = zip(was, after["stage"].to_pylist(), after["reason"].to_pylist(), strict=True)
    return Counter((stage, reason) for former, stage, reason in pairs if reason and not former)
