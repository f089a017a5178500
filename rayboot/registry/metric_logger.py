"""Figures handed to MLflow in the background, so that a server that is away delays nobody.

Training calls :meth:`AsyncMetricLogger.log_metrics` a step; a thread sends what has come together.
What a server did not take is kept and sent again until it does. A training that was cut off
goes on from its checkpoint: what was waiting then is handed over again with it, and steps that
the run has already are not sent a second time.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple, Protocol

from mlflow.entities import Metric
from mlflow.utils.time import get_current_time_millis

__all__ = ["AsyncMetricLogger", "MetricPoint", "async_metric_logger"]

_LOG = logging.getLogger(__name__)

_INTERVAL_S = 2.0
_LONGEST_PAUSE_S = 15.0
_PATIENCE_S = 300.0
_AT_ONCE = 1000


class MetricPoint(NamedTuple):
    """A metric's value at a step, and when it was taken, in ms."""

    name: str
    value: float
    time_ms: int
    step: int


class _Sink(Protocol):
    def log_points(self, points: list[Metric]) -> None: ...

    def last_steps(self) -> dict[str, int]: ...


class AsyncMetricLogger:
    """Sends figures to a run, now or later, in order.

    Args:
        run: takes the points and tells the last step that it has of each metric; whatever it
            raises counts as a server that is away.
        interval_s: between two deliveries.
    """

    def __init__(self, run: _Sink, interval_s: float = _INTERVAL_S) -> None:
        self._run, self._interval_s = run, interval_s
        self._waiting: deque[MetricPoint] = deque()
        self._last: dict[str, int] | None = None
        self._wake, self._closing = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._deliver, name="mlflow-recorder", daemon=True)
        self._thread.start()

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        """Takes figures of a step; returns at once."""
        now = get_current_time_millis()
        self._waiting.extend(MetricPoint(k, float(v), now, step) for k, v in metrics.items())

    def waiting(self) -> list[MetricPoint]:
        """What the server has not taken yet."""
        return list(self._waiting.copy())

    def restore(self, figures: Iterable[MetricPoint]) -> None:
        """Takes what was waiting in a recorder before this one."""
        self._waiting.extend(figures)

    def close(self, patience_s: float = _PATIENCE_S) -> int:
        """Sends the rest.

        Args:
            patience_s: how long to wait for a server that is away.

        Returns:
            How many figures could not be delivered; a warning tells it too.
        """
        self._closing.set()
        self._wake.set()
        self._thread.join(patience_s)
        lost = len(self._waiting)
        if lost:
            _LOG.warning("MLflow did not answer within %.0f s: %d figures lost", patience_s, lost)
        return lost

    def _deliver(self) -> None:
        pause_s = self._interval_s
        while True:
            self._wake.wait(pause_s)
            done = self._closing.is_set()
            try:
                while self._waiting:
                    # Asked once: a training that goes on does its last steps again.
                    self._last = self._run.last_steps() if self._last is None else self._last
                    figures = [self._waiting[i] for i in range(min(len(self._waiting), _AT_ONCE))]
                    self._run.log_points(self._points(figures, self._last))
                    # Only what was taken leaves the queue.
                    for _ in figures:
                        self._waiting.popleft()
                pause_s = self._interval_s
            except Exception as error:  # whatever a client raises while its server is away
                if pause_s == self._interval_s:
                    _LOG.warning("MLflow is away (%s); figures are kept", error)
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
                if done:
                    time.sleep(min(pause_s, 1.0))
                continue
            if done:
                return

    def _points(self, figures: list[MetricPoint], last: Mapping[str, int]) -> list[Metric]:
        return [
            Metric(figure.name, figure.value, figure.time_ms, figure.step)
            for figure in figures
            if figure.step > last.get(figure.name, -1)
        ]


@contextmanager
def async_metric_logger(run: _Sink | None) -> Iterator[AsyncMetricLogger | None]:
    """A recorder for the time of a ``with`` block; None where there is no run."""
    if run is None:
        yield None
        return
    recorder = AsyncMetricLogger(run)
    try:
        yield recorder
    finally:
        recorder.close()
