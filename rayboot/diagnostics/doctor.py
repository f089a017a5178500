"""Checks of what a run requires, with a remedy for each failure.

Every check is one function that returns a :class:`Check` and does not raise; what
could crash or block the process runs in a child process.
"""

from collections.abc import Iterator
from pathlib import Path

from rayboot.config import FrozenConfig
from rayboot.diagnostics.check import Check, format_check
from rayboot.diagnostics.config_checks import check_config
from rayboot.diagnostics.config_gpus import count_gpus
from rayboot.diagnostics.machine_checks import (
    check_compiler,
    check_disk,
    check_egl,
    check_environment,
    check_gpu,
    check_memory,
    check_shared_memory,
)
from rayboot.diagnostics.ray_check import check_ray
from rayboot.diagnostics.requirements import RunRequirements, read_requirements
from rayboot.diagnostics.service_checks import check_mlflow, check_storage

__all__ = ["Check", "RunRequirements", "diagnose", "format_check", "read_requirements"]


def diagnose(requirements: RunRequirements, config: FrozenConfig | None = None) -> Iterator[Check]:
    """Runs every check that a run with these requirements needs, one after the other.

    Args:
        requirements: what the run requires of machine and services.
        config: config of the run, whose paths and models are checked; None checks none.
    """
    if config is not None:
        yield from check_config(config)
    yield check_egl()
    # On a cluster the GPUs are those of its nodes, which may start only when a run needs them.
    yield check_gpu(required=requirements.gpu and requirements.ray_address is None)
    if requirements.compilation:
        yield check_compiler()
    yield from check_environment(requirements.ray_address)
    yield check_ray(requirements.ray_address, 0.0 if config is None else count_gpus(config))
    for uri in requirements.storage_uris:
        yield check_storage(uri, written=uri in requirements.written_uris)
    yield check_mlflow(requirements.tracking_uri)
    if requirements.registry_uri is not None:
        yield check_mlflow(requirements.registry_uri)._replace(name="MLflow registry")
    yield check_memory()
    yield check_shared_memory()
    yield check_disk(Path.cwd())
