"""The service on Ray Serve: replicas that reconstruct, behind one gateway.

The gateway is one process without a network: so limits and metrics count every request, whichever
replica works on it. Photos and meshes pass through it as bytes; a replica decodes and computes.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from ray import serve
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError
from starlette.types import ASGIApp

from rayboot.serving.app import make_app
from rayboot.serving.engine import ReconstructionEngine
from rayboot.serving.model_choice import ModelChoice
from rayboot.serving.model_follower import LoadedModel
from rayboot.serving.problems import Problem
from rayboot.serving.reconstruction_request import ReconstructionRequest, Reply, Which
from rayboot.serving.serve_config import Autoscaling, ServeConfig

__all__ = ["APP_NAME", "build_service"]

APP_NAME = "rayboot"
_REPLICAS = "Reconstruct"

_ONGOING_PER_REPLICA = 4
"""Requests that one replica works on at one time: while the network predicts one face, the next
photo is decoded and the last mesh encoded."""

_SPARE_GATEWAY_REQUESTS = 32
"""Requests beyond ``max_in_flight`` that reach the gateway, which refuses them."""


class _Replica:
    """A process with the network."""

    def __init__(
        self, config: ServeConfig, served: ModelChoice, comparison: ModelChoice | None
    ) -> None:
        self._engine = ReconstructionEngine(config, served, comparison)
        self._photos = ThreadPoolExecutor(2, thread_name_prefix="photos")
        # One thread, so that forward passes do not compete for the same cores.
        self._network = ThreadPoolExecutor(1, thread_name_prefix="network")
        batched: Any = self._predict
        batched.set_max_batch_size(config.batch_size)
        batched.set_batch_wait_timeout_s(config.batch_wait_s if config.batch_size > 1 else 0.0)

    async def reconstruct(self, request: ReconstructionRequest) -> Reply:
        """Reconstructs a photo."""
        loop = asyncio.get_running_loop()
        prepared = await loop.run_in_executor(self._photos, self._engine.prepare, request)
        predictions = [self._predict((prepared.model, face.crop)) for face in prepared.found.chosen]
        volumes = list(await asyncio.gather(*predictions))
        return await loop.run_in_executor(self._photos, self._engine.finish, prepared, volumes)

    async def models(self) -> dict[Which, str]:
        """Returns the names of the models with their versions."""
        return self._engine.models()

    @serve.batch(max_batch_size=1)
    async def _predict(self, crops: Any) -> Any:
        """Predicts a batch of single crops, which Ray Serve collects."""
        batch: list[tuple[LoadedModel, np.ndarray]] = crops
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._network, self._engine.predict, batch)


class _ReplicaBackend:
    """The replicas, as the app calls them."""

    def __init__(self) -> None:
        self._handle: Any = serve.get_deployment_handle(_REPLICAS, APP_NAME)

    async def reconstruct(self, request: ReconstructionRequest) -> Reply:
        """Reconstructs a photo in any replica."""
        reply: Reply = await _await_reply(self._handle.reconstruct.remote(request))
        return reply

    async def models(self) -> dict[Which, str]:
        """Asks any replica for its models."""
        models: dict[Which, str] = await _await_reply(self._handle.models.remote())
        return models


async def _await_reply(response: Any) -> Any:
    try:
        return await response
    except (BackPressureError, DeploymentUnavailableError) as error:
        raise Problem(
            503, "service", "busy", "no replica can take the photo; send it again in a moment", 1
        ) from error


def build_service(
    config: ServeConfig,
    served: ModelChoice,
    comparison: ModelChoice | None,
    token_digest: str | None,
) -> serve.Application:
    """Returns the application for ``serve.run``.

    Args:
        config: replicas, resources and limits.
        served: the model to serve.
        comparison: the model to compare with, if there is one.
        token_digest: digest of the token; None requires none.
    """
    options: dict[str, Any] = {"num_cpus": config.num_cpus, "num_gpus": config.num_gpus}
    if environment := served.environment():
        # Relative names, and variables of this process alone, would not reach the replicas.
        options["runtime_env"] = {"env_vars": environment}
    # Ray declares that a deployment of a class is a function.
    make_deployment: Any = serve.deployment
    replicas = make_deployment(
        _Replica,
        name=_REPLICAS,
        ray_actor_options=options,
        max_ongoing_requests=max(_ONGOING_PER_REPLICA, 2 * config.batch_size),
        health_check_period_s=10,
        graceful_shutdown_timeout_s=config.timeout_s,
        **_replica_options(config),
    ).bind(config, served, comparison)
    gateway = make_deployment(
        serve.ingress(_gateway_builder(config, token_digest))(_Gateway),
        name="Gateway",
        num_replicas=1,
        ray_actor_options={"num_cpus": 0},
        max_ongoing_requests=config.max_in_flight + _SPARE_GATEWAY_REQUESTS,
        graceful_shutdown_timeout_s=config.timeout_s,
    )
    application: serve.Application = gateway.bind(replicas)
    return application


class _Gateway:
    """The process in which the app runs."""

    def __init__(self, replicas: Any) -> None:
        # The app gets its own handle by name, because it is built before this constructor runs.
        del replicas


def _gateway_builder(config: ServeConfig, token_digest: str | None) -> Callable[[], ASGIApp]:
    def build() -> ASGIApp:
        return make_app(config, _ReplicaBackend(), token_digest)

    return build


def _replica_options(config: ServeConfig) -> dict[str, Any]:
    if not isinstance(config.replicas, Autoscaling):
        return {"num_replicas": config.replicas}
    return {"autoscaling_config": config.replicas.model_dump()}
