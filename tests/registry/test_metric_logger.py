import time

from mlflow.entities import Metric

from rayboot.registry.metric_logger import AsyncMetricLogger, async_metric_logger


class Server:
    """Takes figures, or is away; remembers what it took."""

    def __init__(self) -> None:
        self.away, self.calls = False, 0
        self.taken: list[Metric] = []

    def log_points(self, points: list[Metric]) -> None:
        self.calls += 1
        if self.away:
            raise ConnectionError("refused")
        self.taken += points

    def last_steps(self) -> dict[str, int]:
        return {point.key: point.step for point in self.taken}


def wait_for(condition) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_figures_arrive_in_order_with_their_steps() -> None:
    server = Server()
    with async_metric_logger(server) as recorder:
        for step in range(2500):
            recorder.log_metrics({"loss": step / 2}, step)
    assert [(point.step, point.value) for point in server.taken] == [
        (step, step / 2) for step in range(2500)
    ]


def test_a_server_that_is_away_delays_nobody_and_loses_nothing() -> None:
    server = Server()
    server.away = True
    recorder = AsyncMetricLogger(server, interval_s=0.02)
    started = time.monotonic()
    for step in range(5):
        recorder.log_metrics({"loss": 1.0, "rate": 2.0}, step)
    assert time.monotonic() - started < 0.5
    wait_for(lambda: server.calls >= 2)
    assert server.taken == []
    server.away = False
    assert recorder.close(patience_s=10) == 0
    assert [point.step for point in server.taken] == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]


def test_what_could_not_be_delivered_is_counted() -> None:
    server = Server()
    server.away = True
    recorder = AsyncMetricLogger(server, interval_s=0.02)
    recorder.log_metrics({"loss": 1.0}, 0)
    assert recorder.close(patience_s=0.2) == 1


def test_a_training_that_goes_on_sends_what_was_waiting_and_no_step_twice() -> None:
    """Cut off after step 5, its checkpoint made at step 4, when 3 and 4 were still waiting."""
    server = Server()
    with async_metric_logger(server) as recorder:
        for step in (1, 2):
            recorder.log_metrics({"loss": step / 2}, step)
    server.away = True
    lost = AsyncMetricLogger(server, interval_s=60)
    for step in (3, 4):
        lost.log_metrics({"loss": step / 2}, step)
    kept = lost.waiting()
    assert [figure.step for figure in kept] == [3, 4]
    server.away = False
    with async_metric_logger(server) as recorder:
        recorder.restore(kept)
        # The driver that was cut off had delivered 1 and 2 alone.
        for step in (5, 6):
            recorder.log_metrics({"loss": step / 2, "rate": 1.0}, step)
    with async_metric_logger(server) as again:
        again.restore(kept)
        for step in (5, 6, 7):
            again.log_metrics({"loss": step / 2}, step)
    losses = [(point.step, point.value) for point in server.taken if point.key == "loss"]
    assert losses == [(step, step / 2) for step in range(1, 8)]
    assert [point.step for point in server.taken if point.key == "rate"] == [5, 6]


def test_without_a_run_nothing_is_recorded() -> None:
    with async_metric_logger(None) as recorder:
        assert recorder is None
