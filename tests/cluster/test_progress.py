import threading
from typing import Any

import pytest
import ray

from rayboot.cluster.progress import follow_progress, spawn_on_driver_node
from rayboot.cluster.progress_bar import Progress, show_progress


class NodeReporter:
    """Returns the id of its node."""

    def node(self) -> str:
        return str(ray.get_runtime_context().get_node_id())


def test_an_actor_is_spawned_on_the_node_of_the_driver(ray_local: Any) -> None:
    actor = spawn_on_driver_node(NodeReporter)
    assert ray.get(actor.node.remote()) == ray.get_runtime_context().get_node_id()
    ray.kill(actor)


def test_the_final_progress_of_a_worker_is_shown(
    ray_local: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"), follow_progress("fine-tune", "step") as actor:
        ray.get(actor.update.remote(Progress(3, 4, "loss 0.5")))
    assert "fine-tune: 3 of 4, loss 0.5" in caplog.messages


def test_a_terminal_shows_a_bar(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with show_progress("fine-tune", "step", lambda: Progress(3, 4, "loss 0.5")):
        pass
    assert "3/4" in capsys.readouterr().err


def test_a_file_receives_few_lines_and_the_last_one(caplog: pytest.LogCaptureFixture) -> None:
    steps = iter(range(1, 100))
    reached = threading.Event()

    def read() -> Progress:
        step = next(steps)
        if step == 4:
            reached.set()
        return Progress(step, 99, "")

    with caplog.at_level("INFO"), show_progress("fine-tune", "step", read):
        assert reached.wait(60)
    first, last = caplog.messages
    assert first.startswith("fine-tune: 1 of 99") and not last.startswith("fine-tune: 1 of")


def test_a_line_without_remarks_ends_after_the_numbers(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"), show_progress("generate", "photo", lambda: Progress(4, 96, "")):
        pass
    assert caplog.messages == ["generate: 4 of 96"]
