"""Checks of what a run requires, with a remedy for each failure.

Every check is one function that returns a :class:`Check` and does not raise; what
could crash or block the process runs in a child process.
"""

from collections.abc import Iterator
from pathlib import Path

from rayboot.diagnostics.check import Check, format_check
from rayboot.diagnostics.machine_checks import (
    check_compiler,
    check_disk,
    check_egl,
    check_gpu,
    check_memory,
    check_shared_memory,
)
from rayboot.diagnostics.requirements import RunRequirements, read_requirements
from rayboot.diagnostics.service_checks import check_mlflow, check_ray, check_storage

__all__ = ["Check", "RunRequirements", "diagnose", "format_check", "read_requirements"]


def diagnose(requirements: RunRequirements) -> Iterator[Check]:
    """Runs every check that a run with these requirements needs, one after the other."""
    yield check_egl()
    yield check_gpu(required=requirements.gpu)
    if requirements.compilation:
        yield check_compiler()
    yield check_ray(requirements.ray_address)
    for uri in requirements.storage_uris:
        yield check_storage(uri, written=uri in requirements.written_uris)
    yield check_mlflow(requirements.tracking_uri)
    yield check_memory()
    yield check_shared_memory()
    yield check_disk(Path.cwd())
