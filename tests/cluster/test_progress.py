"""Where the actor lives that a run's progress is told to."""

from typing import Any

import ray

from rayboot.cluster.progress import spawn_on_driver_node


class Place:
    """Tells its node."""

    def node(self) -> str:
        return str(ray.get_runtime_context().get_node_id())


def test_an_actor_beside_the_driver_is_on_its_node(ray_local: Any) -> None:
    actor = spawn_on_driver_node(Place)
    assert ray.get(actor.node.remote()) == ray.get_runtime_context().get_node_id()
    ray.kill(actor)
