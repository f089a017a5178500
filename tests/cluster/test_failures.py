"""What a cluster lost is said in one sentence; what a program did wrong stays as it is."""

import os
import signal
from typing import Any

import pytest

from rayboot.cluster.failures import translate_ray_errors
from rayboot.errors import ClusterError


class Fragile:
    """An actor that dies when it is told to, or is broken from the start."""

    def __init__(self, broken: bool) -> None:
        if broken:
            raise ValueError("broken from the start")

    def die(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_lost_actor_is_said_in_one_sentence(ray_local: Any) -> None:
    actor = ray_local.remote(num_cpus=0)(Fragile).remote(broken=False)
    with pytest.raises(ClusterError, match="s3://b/k: .*ActorDiedError.*goes on where it stopped"):
        with translate_ray_errors("s3://b/k"):
            ray_local.get(actor.die.remote())


def test_a_lost_worker_of_a_training_is_found() -> None:
    from ray.exceptions import NodeDiedError
    from ray.train import WorkerGroupError

    with pytest.raises(ClusterError, match="NodeDiedError"), translate_ray_errors("runs"):
        raise WorkerGroupError("lost", {1: NodeDiedError("taken away")})


def test_a_broken_actor_is_not_blamed_on_the_cluster(ray_local: Any) -> None:
    actor = ray_local.remote(num_cpus=0)(Fragile).remote(broken=True)
    with pytest.raises(Exception, match="broken from the start") as raised:
        with translate_ray_errors("s3://b/k"):
            ray_local.get(actor.die.remote())
    assert not isinstance(raised.value, ClusterError)
