"""Logging metrics to MLflow in the background, so that an unavailable server delays nobody.

Training calls :meth:`AsyncMetricLogger.log_metrics` in each step; a thread sends what has
accumulated. Points that the server did not accept are kept and sent again until it does. When
an interrupted training resumes from a checkpoint, the points that were pending at that time are
restored from it, and steps that the run contains already are not sent a second time.
"""

import logging
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple, Protocol

from mlflow.entities import Metric
from mlflow.utils.time import get_current_time_millis

__all__ = ["AsyncMetricLogger", "MetricPoint", "async_metric_logger"]

_LOG = logging.getLogger(__name__)

_INTERVAL_S = 2.0
_MAX_RETRY_DELAY_S = 15.0
_CLOSE_TIMEOUT_S = 300.0
_BATCH_SIZE = 1000


class MetricPoint(NamedTuple):
    """The value of a metric at a step.

    Attributes:
        name: name of the metric.
        value: value of the metric.
        time_ms: time at which it was logged, ms since the epoch.
        step: training step.
    """

    name: str
    value: float
    time_ms: int
    step: int


class _MetricStore(Protocol):
    def log_points(self, points: list[Metric]) -> None: ...

    def last_steps(self) -> dict[str, int]: ...


class AsyncMetricLogger:
    """Sends metrics to a run from a thread, in order.

    Args:
        run: stores points, and returns the last step that it has of each metric; any exception
            of it is treated as an unavailable server.
        interval_s: time between two deliveries.
    """

    def __init__(self, run: _MetricStore, interval_s: float = _INTERVAL_S) -> None:
        self._run, self._interval_s = run, interval_s
        self._queue: deque[MetricPoint] = deque()
        self._last_steps: dict[str, int] | None = None
        self._wake, self._closing = threading.Event(), threading.Event()
        self._abandoned = threading.Event()
        self._thread = threading.Thread(target=self._deliver, name="metric-logger", daemon=True)
        self._thread.start()

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        """Queues the metrics of a step; returns immediately."""
        now = get_current_time_millis()
        self._queue.extend(MetricPoint(k, float(v), now, step) for k, v in metrics.items())

    def pending(self) -> list[MetricPoint]:
        """Returns the points that the server has not accepted yet."""
        return list(self._queue.copy())

    def restore(self, points: Iterable[MetricPoint]) -> None:
        """Queues points that were pending in a former logger of the same run."""
        self._queue.extend(points)

    def close(self, timeout_s: float = _CLOSE_TIMEOUT_S) -> int:
        """Sends the remaining points.

        Args:
            timeout_s: how long to wait for an unavailable server.

        Returns:
            Number of points that could not be delivered; a warning reports it too.
        """
        self._closing.set()
        self._wake.set()
        self._thread.join(timeout_s)
        self._abandoned.set()
        num_lost = len(self._queue)
        if num_lost:
            _LOG.warning(
                "MLflow was unavailable for %.0f s: %d metric values are lost", timeout_s, num_lost
            )
        return num_lost

    def _deliver(self) -> None:
        delay_s = self._interval_s
        while True:
            self._wake.wait(delay_s)
            closing = self._closing.is_set()
            try:
                while self._queue:
                    # Asked only once: a training that resumes repeats its last steps.
                    if self._last_steps is None:
                        self._last_steps = self._run.last_steps()
                    batch_size = min(len(self._queue), _BATCH_SIZE)
                    batch = [self._queue[i] for i in range(batch_size)]
                    self._run.log_points(_new_points(batch, self._last_steps))
                    # Points leave the queue only after the server has accepted them.
                    for _ in batch:
                        self._queue.popleft()
                delay_s = self._interval_s
            except Exception as error:  # whatever a client raises while its server is unavailable
                if delay_s == self._interval_s:
                    _LOG.warning(
                        "MLflow is unavailable (%s); metrics are kept and sent later", error
                    )
                delay_s = min(2 * delay_s, _MAX_RETRY_DELAY_S)
                if closing and self._abandoned.wait(min(delay_s, 1.0)):
                    return
                continue
            if closing:
                return


def _new_points(points: list[MetricPoint], last_steps: Mapping[str, int]) -> list[Metric]:
    """Returns the points whose step the run does not contain yet."""
    return [
        Metric(point.name, point.value, point.time_ms, point.step)
        for point in points
        if point.step > last_steps.get(point.name, -1)
    ]


@contextmanager
def async_metric_logger(run: _MetricStore | None) -> Iterator[AsyncMetricLogger | None]:
    """Yields a logger that is closed after the ``with`` block; None where there is no run."""
    if run is None:
        yield None
        return
    metric_logger = AsyncMetricLogger(run)
    try:
        yield metric_logger
    finally:
        metric_logger.close()
