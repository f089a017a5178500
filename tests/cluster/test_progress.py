from typing import Any

import pytest
import ray

from rayboot.cluster.progress import Progress, follow_progress, spawn_on_driver_node


class NodeReporter:
    """Returns the id of its node."""

    def node(self) -> str:
        return str(ray.get_runtime_context().get_node_id())


def test_an_actor_is_spawned_on_the_node_of_the_driver(ray_local: Any) -> None:
    actor = spawn_on_driver_node(NodeReporter)
    assert ray.get(actor.node.remote()) == ray.get_runtime_context().get_node_id()
    ray.kill(actor)


def test_the_final_progress_of_a_worker_is_shown(
    ray_local: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    with follow_progress("fine-tune", "step") as actor:
        ray.get(actor.update.remote(Progress(3, 4, "loss 0.5")))
    assert "3/4" in capsys.readouterr().err
