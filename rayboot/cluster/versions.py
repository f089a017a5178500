"""Versions that must agree between who submits a run and the machines that it runs on."""

import json
import os
import sys
from collections.abc import Mapping
from importlib import metadata

from rayboot.errors import RequestError

__all__ = ["SUBMITTER_VARIABLE", "installed_versions", "require_matching_versions"]

SUBMITTER_VARIABLE = "RAYBOOT_SUBMITTED_WITH"
"""In a job's environment: the submitter's versions, as JSON."""


def installed_versions() -> dict[str, str]:
    """Of this process: ``rayboot`` and ``ray`` as they are, ``Python`` without its last number.

    Python's bug fixes keep what is pickled readable; its minor versions do not.
    """
    return {
        "rayboot": metadata.version("rayboot"),
        "ray": metadata.version("ray"),
        "Python": f"{sys.version_info.major}.{sys.version_info.minor}",
    }


def require_matching_versions(environment: Mapping[str, str] = os.environ) -> None:
    """Refuses a job that was submitted with other versions than it runs on.

    Raises:
        RequestError: some differ; both are named.
    """
    text = environment.get(SUBMITTER_VARIABLE)
    if text is None:
        return
    theirs, ours = json.loads(text), installed_versions()
    if differing := [name for name in ours if theirs.get(name) != ours[name]]:
        told = ", ".join(
            f"{name} {theirs.get(name, 'unknown')} submitted, {ours[name]} on the cluster"
            for name in differing
        )
        raise RequestError(
            f"versions differ: {told}; install the cluster's where you submit, or give the "
            "cluster an image with yours"
        )
