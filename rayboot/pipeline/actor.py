"""A stage in its actor: what it does is its own, what it costs is counted here."""

import logging
import time
import warnings
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

import pyarrow as pa
import ray
from ray.data import ActorPoolStrategy, Dataset
from ray.util import metrics
from ray.util.annotations import RayDeprecationWarning

from rayboot.cluster.progress import Progress
from rayboot.logs import LogContext, adopt_context, current_context
from rayboot.pipeline.isolation import Stage, SubprocessSpec, SubprocessStage
from rayboot.pipeline.stage_usage import StageUsage

__all__ = [
    "StageActor",
    "StageStats",
    "StageUsage",
    "StatsSnapshot",
    "map_with_actor_pool",
    "read_progress",
]

_LOG = logging.getLogger(__name__)


class StageStats:
    """Adds up what stages did, wherever they run: an actor's class."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._use: dict[str, StageUsage] = {}
        self._first_s: dict[str, float] = {}
        self._rejects: Counter[str] = Counter()

    def note(self, stage: str, use: StageUsage, rejects: dict[str, int]) -> None:
        """One batch; ``rejects`` are counts by ``stage, reason``."""
        self._first_s.setdefault(stage, time.monotonic() - self._started)
        self._use[stage] = self._use.get(stage, StageUsage(0, 0.0, 0.0, 0)).plus(use)
        self._rejects.update(rejects)

    def read(self) -> "StatsSnapshot":
        """So far."""
        return StatsSnapshot(self._use, dict(self._rejects), self._first_s)


class StatsSnapshot(NamedTuple):
    """What a tally knows.

    Attributes:
        use: by stage.
        rejects: counts by ``stage, reason``.
        first_s: from the tally's making to the first batch that a stage finished.
    """

    use: dict[str, StageUsage]
    rejects: dict[str, int]
    first_s: dict[str, float]


def read_progress(tally: Any, last_stage: str) -> Progress | None:
    """How far a run is whose last stage is that; None before its first batch.

    Args:
        tally: handle of an actor of :class:`StageStats`.
        last_stage: name.
    """
    reading: StatsSnapshot = ray.get(tally.read.remote())
    if last_stage not in reading.use:
        return None
    text = ""
    if reading.rejects:
        (most, count), *_ = Counter(reading.rejects).most_common(1)
        text = f"{sum(reading.rejects.values())} rejected ({count} {most})"
    return Progress(reading.use[last_stage].rows, None, text)


class StageActor:
    """Runs a stage; tells the tally, and Ray's metrics, of every batch.

    Metrics: ``rayboot_photos_total`` and ``rayboot_busy_seconds_total`` by stage,
    ``rayboot_rejects_total`` by stage and reason.

    Args:
        name: of the stage.
        stage: makes it, to be run here; or how to run it in a process of its own.
        tally: handle of an actor of :class:`StageStats`.
        log: what the lines of its process say; None leaves them alone.
    """

    def __init__(
        self,
        name: str,
        stage: Callable[[], Stage] | SubprocessSpec,
        tally: Any,
        log: LogContext | None = None,
    ) -> None:
        self._name, self._tally = name, tally
        adopt_context(log)
        started = time.monotonic()
        # What runs apart is not imported here: two processes need not hold it.
        self._stage: Stage = (
            SubprocessStage(stage, name) if isinstance(stage, SubprocessSpec) else stage()
        )
        seconds = round(time.monotonic() - started, 3)
        _LOG.info("stage %s is ready", name, extra={"stage": name, "seconds": seconds})
        self._cpu_s: float | None = None
        by_stage = {"tag_keys": ("stage",)}
        self._photos = metrics.Counter("rayboot_photos_total", "Photos done.", **by_stage)
        self._busy = metrics.Counter("rayboot_busy_seconds_total", "Time at work.", **by_stage)
        self._rejects = metrics.Counter(
            "rayboot_rejects_total", "Photos rejected.", tag_keys=("stage", "reason")
        )

    def __call__(self, table: pa.Table) -> pa.Table:
        """One batch."""
        started = time.perf_counter()
        cpu_before = self._cpu_s or self._spent()
        made = self._run(table)
        busy_s = time.perf_counter() - started
        # From batch to batch, so that what Ray does for it in this process counts too.
        self._cpu_s = self._spent()
        use = StageUsage(len(made), busy_s, self._cpu_s - cpu_before, made.nbytes)
        rejected = _new_rejects(table, made)
        rejects = Counter((row["stage"], row["reason"]) for row in rejected)
        self._photos.inc(use.rows, {"stage": self._name})
        self._busy.inc(use.busy_s, {"stage": self._name})
        for (stage, reason), count in rejects.items():
            self._rejects.inc(count, {"stage": stage, "reason": reason})
        named = {f"{stage}, {reason}": count for (stage, reason), count in rejects.items()}
        self._tally.note.remote(self._name, use, named)
        if _LOG.isEnabledFor(logging.DEBUG):
            _log_rejects(rejected)
        return made

    def _run(self, table: pa.Table) -> pa.Table:
        try:
            return self._stage(table)
        except Exception:
            # Ray tells the driver, but not of which photos; it may also try them again.
            ids = table["face_id"].to_pylist() if "face_id" in table.schema.names else []
            _LOG.exception(
                "stage %s failed on a batch", self._name,
                extra={"stage": self._name, "face_ids": ids},
            )  # fmt: skip
            raise

    def _spent(self) -> float:
        inner = self._stage.cpu_s() if isinstance(self._stage, SubprocessStage) else 0.0
        return time.process_time() + inner


def _new_rejects(before: pa.Table, after: pa.Table) -> list[dict[str, Any]]:
    """Rows that came in alive and go out as rejects, without their pictures."""
    if "reason" not in after.schema.names:
        return []
    names = before.schema.names
    was = before["reason"].to_pylist() if "reason" in names else [None] * len(before)
    told = [name for name in _TOLD if name in after.schema.names]
    rows = after.select(told).to_pylist()
    return [row for former, row in zip(was, rows, strict=True) if row["reason"] and not former]


_TOLD = ("face_id", "stage", "reason", "message")


def _log_rejects(rows: list[dict[str, Any]]) -> None:
    """A line each; at INFO it would be millions, and each is a row of the data set anyway."""
    for row in rows:
        about = {name: row.get(name) for name in ("face_id", "stage", "reason")}
        _LOG.debug("%s is rejected: %s", about["face_id"], row.get("message"), extra=about)


def map_with_actor_pool(
    rows: Dataset, actor: dict[str, Any], batch_size: int, num_actors: int, **resources: Any
) -> Dataset:
    """Rows through a pool of :class:`StageActor`.

    Args:
        rows: to a stage.
        actor: arguments of :class:`StageActor`.
        batch_size: rows that a call takes.
        num_actors: of the pool.
        resources: that Ray gives each, ``num_cpus`` and ``num_gpus``.
    """
    with warnings.catch_warnings(action="ignore", category=RayDeprecationWarning):
        return rows.map_batches(
            StageActor,
            fn_constructor_kwargs={**actor, "log": current_context()},
            batch_format="pyarrow",
            batch_size=batch_size,
            ray_remote_args_fn=_retries,
            compute=ActorPoolStrategy(size=num_actors),
            **resources,
        )


def _retries() -> dict[str, int]:
    """Of an actor; Ray's default is to start it again for ever.

    A photo that crashes the process would then be tried without end, instead of
    failing the run. Tries are not counted: until a lost machine is known to be lost, which
    takes Ray 15 seconds and more, one fails every second. Ray 2.64 is to drop the one way to
    say so, hence the bound in ``pyproject.toml``.
    """
    return {"max_restarts": 4, "max_task_retries": -1}
