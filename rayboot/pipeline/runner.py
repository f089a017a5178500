"""The runner: starts, guards and ends every run over listed photos.

What a run does is a :class:`Job`; what executes its stages is an :class:`Executor`. The runner
holds the output's lease, resumes after what is finished, retries an unavailable store, and asks
the job to complete its output at the end. It imports Ray only where no executor is given, and
reads no clock of its own: a test drives it with executors, stores and clocks of its choice.
"""

import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from rayboot.counts import describe_count
from rayboot.io.lease import hold_lease
from rayboot.io.retry import retry_io
from rayboot.io.storage import join_uri
from rayboot.logs import logged_run
from rayboot.pipeline.graph import StageSpec
from rayboot.pipeline.output_layout import LEASE
from rayboot.pipeline.stage_usage import StageUsage

__all__ = ["Clock", "Executor", "Job", "ObjectStore", "RunStats", "Store", "run_job"]

_LOG = logging.getLogger(__name__)

T = TypeVar("T")
SummaryT = TypeVar("SummaryT")


class RunStats(NamedTuple):
    """What a run took.

    Attributes:
        usage: Work by stage; empty where nothing was left to do.
        seconds: Duration of the run; 0 where its output was complete before.
    """

    usage: Mapping[str, StageUsage]
    seconds: float


class Job(ABC, Generic[SummaryT]):
    """One run over listed photos, as far as the runner needs to know it.

    The listing is :data:`~rayboot.pipeline.output_layout.LISTING` below the output. Each photo
    of it ends in one row of the last stage.

    Attributes:
        name: Title of the progress bar.
        output: URI of the folder that the run writes.
        run_id: Identifier of the run in log lines.
        num_photos: Number of listed photos.
        rows_below: Folder below the output that receives the rows.
        rows_per_block: Number of photos that are moved, written and checkpointed together.
        reader_cpus: Logical CPUs of a task that reads the listing.
        write_options: Options of Ray Data's ``write_parquet``.
    """

    name: str
    output: str
    run_id: str
    num_photos: int
    rows_below: str = ""
    rows_per_block: int
    reader_cpus: float
    write_options: Mapping[str, Any] = {}

    @abstractmethod
    def stages(self) -> Sequence[StageSpec]:
        """The stages in their order; called once capacity and lease are there."""

    def recover(self) -> None:
        """Completes what an interrupted command left half done; called under the lease."""

    @abstractmethod
    def is_complete(self) -> bool:
        """Whether the output is complete already."""

    @abstractmethod
    def count_finished(self) -> int:
        """Number of photos whose row is written."""

    @abstractmethod
    def complete(self) -> None:
        """Checks that every photo has its row, and writes what makes the output complete.

        Raises:
            RaybootError: Rows are missing or repeated.
        """

    @abstractmethod
    def summarize(self) -> SummaryT:
        """Summary of a complete output."""


class Executor(Protocol):
    """What executes the stages of a job."""

    def execute(self, job: Job[Any], num_left: int) -> Mapping[str, StageUsage]:
        """Runs the photos without a row through the stages, and writes their rows.

        Args:
            job: The job.
            num_left: Number of photos without a row.

        Returns:
            Work by stage.

        Raises:
            RaybootError: The executor has too little capacity, or was lost.
        """
        ...


class Store(Protocol):
    """Access to the output that may be shared with other runs, and unavailable for a while."""

    def lease(self, uri: str) -> AbstractContextManager[None]:
        """Holds a lease while the block runs; raises BusyError if another run holds it."""
        ...

    def retry(self, call: Callable[[], T], uri: str) -> T:
        """Result of a call, repeated while the store is unavailable."""
        ...


class ObjectStore:
    """The store that URIs name: local disks, S3 and whatever fsspec knows."""

    def lease(self, uri: str) -> AbstractContextManager[None]:
        """Holds the lease; see :func:`rayboot.io.lease.hold_lease`."""
        return hold_lease(uri)

    def retry(self, call: Callable[[], T], uri: str) -> T:
        """Repeats a call; see :func:`rayboot.io.retry.retry_io`."""
        return retry_io(call, uri)


class Clock(Protocol):
    """A clock; the module :mod:`time` is one."""

    def monotonic(self) -> float:
        """Seconds since some moment, never decreasing."""
        ...


_OBJECT_STORE = ObjectStore()


def run_job(
    job: Job[SummaryT],
    executor: Executor | None = None,
    store: Store = _OBJECT_STORE,
    clock: Clock = time,
) -> tuple[SummaryT, RunStats]:
    """Runs a job, or what is left of it.

    Args:
        job: What is to be done.
        executor: What executes its stages; None is Ray, which must be initialised.
        store: Where its output is.
        clock: Clock that its duration is measured with.

    Raises:
        BusyError: Another run writes to the same output.
        StoreError: The object store stayed unavailable; finished photos are kept.
        DiskFullError, ClusterError: Likewise.
    """
    if executor is None:
        from rayboot.pipeline.ray_executor import RayExecutor

        executor = RayExecutor()
    with logged_run(job.run_id) as run_id, store.lease(join_uri(job.output, LEASE)):
        job.recover()
        if store.retry(job.is_complete, job.output):
            _LOG.info("%s is complete already", job.output)
            return store.retry(job.summarize, job.output), RunStats({}, 0.0)
        started = clock.monotonic()
        num_left = job.num_photos - store.retry(job.count_finished, job.output)
        _LOG.info(
            "run %s: %s, %d left, output %s",
            run_id, describe_count(job.num_photos, "photo"), num_left, job.output,
            extra={"num_photos": job.num_photos, "num_left": num_left, "output": job.output},
        )  # fmt: skip
        usage = executor.execute(job, num_left) if num_left else {}
        store.retry(job.complete, job.output)
        summary = store.retry(job.summarize, job.output)
        return summary, RunStats(usage, clock.monotonic() - started)
