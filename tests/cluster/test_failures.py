"""Losses of the cluster are translated; errors of a program are not."""

import os
import signal
from typing import Any

import pytest

from rayboot.cluster.failures import find_rayboot_error, translate_ray_errors
from rayboot.errors import ClusterError, RaybootError, RequestError


class FragileActor:
    """An actor that kills its own process on request, or cannot be constructed."""

    def __init__(self, broken: bool) -> None:
        if broken:
            raise ValueError("broken constructor")

    def die(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_lost_actor_is_reported_in_one_sentence(ray_local: Any) -> None:
    actor = ray_local.remote(num_cpus=0)(FragileActor).remote(broken=False)
    message = r"s3://b/k: .*ActorDiedError.*it resumes where it stopped"
    with pytest.raises(ClusterError, match=message), translate_ray_errors("s3://b/k"):
        ray_local.get(actor.die.remote())


def test_a_lost_training_worker_is_reported() -> None:
    from ray.exceptions import NodeDiedError
    from ray.train import WorkerGroupError

    with pytest.raises(ClusterError, match="NodeDiedError"), translate_ray_errors("runs"):
        raise WorkerGroupError("lost", {1: NodeDiedError("preempted")})


def test_a_training_worker_that_died_is_reported() -> None:
    from ray.exceptions import ActorDiedError
    from ray.train import WorkerGroupError
    from ray.train.v2._internal.exceptions import WorkerHealthCheckFailedError

    death = WorkerHealthCheckFailedError("A worker health check failed.", ActorDiedError())
    with pytest.raises(ClusterError, match="ActorDiedError"), translate_ray_errors("runs"):
        raise WorkerGroupError("lost", {0: death})


def test_an_error_in_the_constructor_of_an_actor_is_not_translated(ray_local: Any) -> None:
    actor = ray_local.remote(num_cpus=0)(FragileActor).remote(broken=True)
    expected = pytest.raises(Exception, match="broken constructor")
    with expected as raised, translate_ray_errors("s3://b/k"):
        ray_local.get(actor.die.remote())
    assert not isinstance(raised.value, ClusterError)


def refuse() -> None:
    raise RequestError("one sentence")


def test_an_error_of_a_worker_says_its_own_sentence(ray_local: Any) -> None:
    with pytest.raises(RaybootError) as raised:
        ray_local.get(ray_local.remote(num_cpus=0)(refuse).remote())
    assert "Traceback" in str(raised.value) or "ray::" in str(raised.value)
    known = find_rayboot_error(raised.value)
    assert type(known) is RequestError
    assert str(known) == "one sentence"
