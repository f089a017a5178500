import threading

from mlflow.entities import Metric

from rayboot.registry.metric_logger import AsyncMetricLogger, async_metric_logger


class FakeRun:
    """Stores points unless its server is unavailable; answers only while ``answers`` is set."""

    def __init__(self, unavailable: bool = False) -> None:
        self.unavailable = unavailable
        self.answers = threading.Event()
        self.answers.set()
        self.failed_twice = threading.Event()
        self.num_calls = 0
        self.stored: list[Metric] = []

    def log_points(self, points: list[Metric]) -> None:
        assert self.answers.wait(60)
        self.num_calls += 1
        if self.unavailable:
            if self.num_calls >= 2:
                self.failed_twice.set()
            raise ConnectionError("refused")
        self.stored += points

    def last_steps(self) -> dict[str, int]:
        return {point.key: point.step for point in self.stored}


def test_points_arrive_in_order_with_their_steps() -> None:
    run = FakeRun()
    with async_metric_logger(run) as metric_logger:
        assert metric_logger is not None
        for step in range(2500):
            metric_logger.log_metrics({"loss": step / 2}, step)
    assert [(point.step, point.value) for point in run.stored] == [
        (step, step / 2) for step in range(2500)
    ]


def test_an_unavailable_server_delays_nobody_and_loses_nothing() -> None:
    run = FakeRun(unavailable=True)
    run.answers.clear()
    metric_logger = AsyncMetricLogger(run, interval_s=0.02)
    for step in range(5):
        metric_logger.log_metrics({"loss": 1.0, "rate": 2.0}, step)
    # All were logged while the server had not answered a single request.
    assert run.num_calls == 0
    run.answers.set()
    assert run.failed_twice.wait(60)
    assert run.stored == []
    assert len(metric_logger.pending()) == 10
    run.unavailable = False
    assert metric_logger.close(timeout_s=60) == 0
    assert [point.step for point in run.stored] == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]


def test_points_that_could_not_be_delivered_are_counted() -> None:
    metric_logger = AsyncMetricLogger(FakeRun(unavailable=True), interval_s=0.02)
    metric_logger.log_metrics({"loss": 1.0}, 0)
    assert metric_logger.close(timeout_s=0.2) == 1


def test_after_it_is_closed_nothing_is_sent_any_more() -> None:
    run = FakeRun(unavailable=True)
    others = set(threading.enumerate())
    metric_logger = AsyncMetricLogger(run, interval_s=0.02)
    (thread,) = set(threading.enumerate()) - others
    metric_logger.log_metrics({"loss": 1.0}, 0)
    metric_logger.close(timeout_s=0.2)
    thread.join(60)
    run.unavailable = False
    assert (thread.is_alive(), run.stored) == (False, [])


def test_a_resumed_training_sends_pending_points_and_no_step_twice() -> None:
    """Interrupted after step 5; the checkpoint is of step 4, when 3 and 4 were still pending."""
    run = FakeRun()
    with async_metric_logger(run) as metric_logger:
        assert metric_logger is not None
        for step in (1, 2):
            metric_logger.log_metrics({"loss": step / 2}, step)
    run.unavailable = True
    interrupted = AsyncMetricLogger(run, interval_s=60)
    for step in (3, 4):
        interrupted.log_metrics({"loss": step / 2}, step)
    pending = interrupted.pending()
    assert [point.step for point in pending] == [3, 4]
    run.unavailable = False
    with async_metric_logger(run) as resumed:
        assert resumed is not None
        resumed.restore(pending)
        # The interrupted training had delivered only 1 and 2.
        for step in (5, 6):
            resumed.log_metrics({"loss": step / 2, "rate": 1.0}, step)
    with async_metric_logger(run) as resumed_again:
        assert resumed_again is not None
        resumed_again.restore(pending)
        for step in (5, 6, 7):
            resumed_again.log_metrics({"loss": step / 2}, step)
    losses = [(point.step, point.value) for point in run.stored if point.key == "loss"]
    assert losses == [(step, step / 2) for step in range(1, 8)]
    assert [point.step for point in run.stored if point.key == "rate"] == [5, 6]


def test_without_a_run_nothing_is_logged() -> None:
    with async_metric_logger(None) as metric_logger:
        assert metric_logger is None
