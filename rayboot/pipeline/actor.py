"""Actors that run a stage and report what it costs: rows, rejects, time and bytes."""

import logging
import time
import warnings
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

import pyarrow as pa
import ray
from ray.actor import ActorHandle
from ray.data import ActorPoolStrategy, Dataset
from ray.util import metrics
from ray.util.annotations import RayDeprecationWarning

from rayboot.cluster.progress_bar import Progress
from rayboot.logs import LogContext, adopt_context, current_context
from rayboot.pipeline.isolation import Stage, SubprocessSpec, SubprocessStage
from rayboot.pipeline.stage_usage import StageUsage

__all__ = [
    "StageActor",
    "StageStats",
    "StatsSnapshot",
    "map_with_actor_pool",
    "read_progress",
    "read_snapshot",
]

_LOG = logging.getLogger(__name__)


class StageStats:
    """Sums the statistics of stages, wherever their actors run; run it as an actor itself."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._usage: dict[str, StageUsage] = {}
        self._steady: dict[str, StageUsage] = {}
        self._first_batch_s: dict[str, float] = {}
        self._rejects: Counter[str] = Counter()

    def record_batch(
        self, stage: str, usage: StageUsage, rejects: dict[str, int], is_first: bool = False
    ) -> None:
        """Adds one batch.

        Args:
            stage: name of the stage.
            usage: resources that the batch used.
            rejects: number of new rejects by ``stage, reason``.
            is_first: whether it is the first batch of its actor.
        """
        self._first_batch_s.setdefault(stage, time.monotonic() - self._started)
        nothing = StageUsage(0, 0.0, 0.0, 0)
        self._usage[stage] = self._usage.get(stage, nothing).combined(usage)
        if not is_first:
            self._steady[stage] = self._steady.get(stage, nothing).combined(usage)
        self._rejects.update(rejects)

    def snapshot(self) -> "StatsSnapshot":
        """Returns the sums of all batches recorded until now."""
        return StatsSnapshot(self._usage, dict(self._rejects), self._first_batch_s, self._steady)


class StatsSnapshot(NamedTuple):
    """Statistics of a run's stages at one moment.

    Attributes:
        usage: resources used by each stage, in the order of their first batches.
        rejects: number of rejects by ``stage, reason``.
        first_batch_s: time from the start of :class:`StageStats` to the first batch that each
            stage finished.
        steady: as ``usage``, without the first batch of each actor, which also starts
            processes, opens devices and compiles; a stage without further batches is missing.
    """

    usage: dict[str, StageUsage]
    rejects: dict[str, int]
    first_batch_s: dict[str, float]
    steady: dict[str, StageUsage]

    def lasting_usage(self) -> dict[str, StageUsage]:
        """Returns what batches cost in a long run: without first ones wherever there are others."""
        return {name: self.steady.get(name, usage) for name, usage in self.usage.items()}


def read_snapshot(stats: ActorHandle[StageStats]) -> StatsSnapshot:
    """Returns the present statistics of a :class:`StageStats` actor."""
    # Ray's type stubs give the methods of an actor the type Never.
    actor: Any = stats
    snapshot: StatsSnapshot = ray.get(actor.snapshot.remote())
    return snapshot


def read_progress(stats: ActorHandle[StageStats], last_stage: str) -> Progress | None:
    """Returns the progress of a run; None before the first batch of its last stage.

    Args:
        stats: handle of an actor of :class:`StageStats`.
        last_stage: name of the last stage; a photo that passed it is finished.
    """
    snapshot = read_snapshot(stats)
    if last_stage not in snapshot.usage:
        return None
    text = ""
    if snapshot.rejects:
        (reason, count), *_ = Counter(snapshot.rejects).most_common(1)
        text = f"{sum(snapshot.rejects.values())} rejected ({count} {reason})"
    return Progress(snapshot.usage[last_stage].rows, None, text)


class StageActor:
    """Runs a stage, and reports every batch to :class:`StageStats` and to Ray's metrics.

    Metrics: ``rayboot_photos_total`` and ``rayboot_busy_seconds_total`` by stage,
    ``rayboot_rejects_total`` by stage and reason.

    Args:
        name: name of the stage.
        stage: makes the stage, to be run in this process; or a specification that runs it in
            a process of its own.
        stats: handle of an actor of :class:`StageStats`.
        log: fields that the log lines of this process receive; None changes nothing.
    """

    def __init__(
        self,
        name: str,
        stage: Callable[[], Stage] | SubprocessSpec,
        stats: ActorHandle[StageStats],
        log: LogContext | None = None,
    ) -> None:
        self._name = name
        # Ray's type stubs give the methods of an actor the type Never.
        self._stats: Any = stats
        adopt_context(log)
        started = time.monotonic()
        # A stage in a subprocess is not imported here: two processes need not hold its modules.
        self._stage: Stage = (
            SubprocessStage(stage, name) if isinstance(stage, SubprocessSpec) else stage()
        )
        seconds = round(time.monotonic() - started, 3)
        _LOG.info("stage %s is ready", name, extra={"stage": name, "seconds": seconds})
        self._cpu_s: float | None = None
        self._is_first = True
        by_stage = {"tag_keys": ("stage",)}
        self._photos = metrics.Counter("rayboot_photos_total", "Photos done.", **by_stage)
        self._busy = metrics.Counter("rayboot_busy_seconds_total", "Time at work.", **by_stage)
        self._rejects = metrics.Counter(
            "rayboot_rejects_total", "Photos rejected.", tag_keys=("stage", "reason")
        )

    def __call__(self, table: pa.Table) -> pa.Table:
        """Runs the stage on one batch."""
        started = time.perf_counter()
        cpu_before = self._cpu_s or self._total_cpu_s()
        result = self._run(table)
        busy_s = time.perf_counter() - started
        # Counted from batch to batch, so that Ray's own work in this process is included.
        self._cpu_s = self._total_cpu_s()
        usage = StageUsage(len(result), busy_s, self._cpu_s - cpu_before, result.nbytes)
        new_rejects = _new_rejects(table, result)
        num_rejects = Counter((row["stage"], row["reason"]) for row in new_rejects)
        self._photos.inc(usage.rows, {"stage": self._name})
        self._busy.inc(usage.busy_s, {"stage": self._name})
        for (stage, reason), count in num_rejects.items():
            self._rejects.inc(count, {"stage": stage, "reason": reason})
        by_name = {f"{stage}, {reason}": count for (stage, reason), count in num_rejects.items()}
        self._stats.record_batch.remote(self._name, usage, by_name, self._is_first)
        self._is_first = False
        if _LOG.isEnabledFor(logging.DEBUG):
            _log_rejects(new_rejects)
        return result

    def _run(self, table: pa.Table) -> pa.Table:
        try:
            return self._stage(table)
        except Exception:
            # Ray reports the error to the driver, but not the photos; it may also retry them.
            ids = table["face_id"].to_pylist() if "face_id" in table.schema.names else []
            _LOG.exception(
                "stage %s failed on a batch", self._name,
                extra={"stage": self._name, "face_ids": ids},
            )  # fmt: skip
            raise

    def _total_cpu_s(self) -> float:
        child_s = self._stage.cpu_s() if isinstance(self._stage, SubprocessStage) else 0.0
        return time.process_time() + child_s


_REJECT_COLUMNS = ("face_id", "stage", "reason", "message")


def _new_rejects(before: pa.Table, after: pa.Table) -> list[dict[str, Any]]:
    """Returns the rows that became rejects in this stage, without their images."""
    if "reason" not in after.schema.names:
        return []
    names = before.schema.names
    reasons = before["reason"].to_pylist() if "reason" in names else [None] * len(before)
    columns = [name for name in _REJECT_COLUMNS if name in after.schema.names]
    rows = after.select(columns).to_pylist()
    return [row for former, row in zip(reasons, rows, strict=True) if row["reason"] and not former]


def _log_rejects(rows: list[dict[str, Any]]) -> None:
    """Logs one line for each reject, at DEBUG.

    At INFO these would be millions of lines, and each reject is a row of the data set anyway.
    """
    for row in rows:
        fields = {name: row.get(name) for name in ("face_id", "stage", "reason")}
        _LOG.debug("%s is rejected: %s", fields["face_id"], row.get("message"), extra=fields)


def map_with_actor_pool(
    rows: Dataset, actor: dict[str, Any], batch_size: int, num_actors: int, **resources: Any
) -> Dataset:
    """Maps rows with a pool of :class:`StageActor`.

    Args:
        rows: the input rows of the stage.
        actor: keyword arguments of :class:`StageActor`, without ``log``.
        batch_size: number of rows in one call.
        num_actors: size of the pool.
        resources: resources of each actor for Ray, ``num_cpus`` and ``num_gpus``.
    """
    with warnings.catch_warnings(action="ignore", category=RayDeprecationWarning):
        return rows.map_batches(
            StageActor,
            fn_constructor_kwargs={**actor, "log": current_context()},
            batch_format="pyarrow",
            batch_size=batch_size,
            ray_remote_args_fn=_restart_options,
            compute=ActorPoolStrategy(size=num_actors),
            **resources,
        )


def _restart_options() -> dict[str, int]:
    """Returns the restart limits of an actor; by default Ray restarts it without end.

    A photo that crashes the process would then be retried for ever, instead of failing the
    run. Task retries are not limited: until Ray notices that a machine is lost, which takes
    15 seconds and more, one retry fails every second. Ray 2.64 is expected to drop
    ``ray_remote_args_fn``, the only way to pass these limits, hence the upper bound in
    ``pyproject.toml``.
    """
    return {"max_restarts": 4, "max_task_retries": -1}
