"""Versions that must be equal on the submitting machine and on the cluster."""

import json
import os
import sys
from collections.abc import Mapping
from importlib import metadata

from rayboot.errors import RequestError

__all__ = ["SUBMITTER_VARIABLE", "installed_versions", "require_matching_versions"]

SUBMITTER_VARIABLE = "RAYBOOT_SUBMITTED_WITH"
"""Environment variable of a job: the versions of the submitting machine, as JSON."""


def installed_versions() -> dict[str, str]:
    """Returns the versions of this process: ``rayboot``, ``ray``, and ``Python`` as MAJOR.MINOR.

    Pickles are compatible between bugfix releases of Python, but not between minor versions.
    """
    return {
        "rayboot": metadata.version("rayboot"),
        "ray": metadata.version("ray"),
        "Python": f"{sys.version_info.major}.{sys.version_info.minor}",
    }


def require_matching_versions(environment: Mapping[str, str] = os.environ) -> None:
    """Refuses a job that was submitted with other versions than those of the cluster.

    Raises:
        RequestError: versions differ; the message contains both.
    """
    text = environment.get(SUBMITTER_VARIABLE)
    if text is None:
        return
    submitted, installed = json.loads(text), installed_versions()
    if differing := [name for name in installed if submitted.get(name) != installed[name]]:
        differences = ", ".join(
            f"{name} {submitted.get(name, 'unknown')} submitted, {installed[name]} on the cluster"
            for name in differing
        )
        raise RequestError(
            f"versions differ: {differences}; install those of the cluster where you submit, "
            "or run the cluster with an image of your versions"
        )
