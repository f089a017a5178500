"""Checks before a job is submitted: its config, the cluster's token and version, secrets."""

import logging
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from rayboot.cluster.dashboard import AUTH_REMEDY, find_cluster_token, query_dashboard
from rayboot.cluster.versions import installed_versions
from rayboot.credentials import find_credentialed_url, is_secret_name
from rayboot.errors import RequestError
from rayboot.io.absolute_paths import relative_paths
from rayboot.rounds.robustness import RobustnessConfig
from rayboot.submission.tasks import TASKS, load_task_config

__all__ = ["Submission", "prepare_submission", "require_cluster"]


_LOG = logging.getLogger(__name__)

CONFIG_NAME = "config.yaml"
"""Name of the config in the job's working directory."""


class Submission(NamedTuple):
    """A checked submission.

    Attributes:
        task: name of the command.
        address: address of the cluster's dashboard, ``http://HOST:8265``.
        config: the YAML file as it is copied to the job; None where the command gets none.
        entrypoint: shell command of the job.
        environment: environment variables of the job.
    """

    task: str
    address: str
    config: bytes | None
    entrypoint: str
    environment: dict[str, str]


def prepare_submission(
    task: str,
    config: Path | None,
    address: str,
    *,
    arguments: Sequence[str] = (),
    environment: Sequence[str] = (),
    allow_open: bool = False,
) -> Submission:
    """Checks what can be checked before anything runs on the cluster.

    Args:
        task: one of :data:`TASKS`.
        config: YAML file of the run; None for commands that work without one.
        address: address of the dashboard.
        arguments: further arguments of the command.
        environment: environment variables of the job, ``NAME=VALUE`` each.
        allow_open: whether a cluster that requires no token is accepted.

    Raises:
        RequestError: the config is missing or wrong, a secret would be sent, or the cluster does
            not answer, requires no token, refuses the token or runs another version of Ray.
    """
    payload = _check_config(task, config, arguments)
    variables = dict(_parse_variable(text) for text in environment)
    for text in ((payload or b"").decode("utf-8"), *arguments):
        _require_no_login(text)
    address = address.rstrip("/")
    require_cluster(address, allow_open=allow_open)
    options = [] if payload is None else ["--config", CONFIG_NAME]
    command = shlex.join(["rayboot", task, *options, *arguments])
    return Submission(task, address, payload, command, variables)


def _check_config(task: str, config: Path | None, arguments: Sequence[str]) -> bytes | None:
    """Validates the config of a task and returns the file's content; None without a config."""
    config_type, config_required = TASKS[task]
    if task == "evaluate" and "robustness" in arguments:
        config_type, config_required = RobustnessConfig, False
    if config is None:
        if config_required:
            raise RequestError(f"submit {task} needs --config FILE, the YAML of the run")
        return None
    if config_type is None:
        raise RequestError(
            f"submit {task}: the command takes no config; leave out --config {config} and give "
            "its options after --"
        )
    relative = relative_paths(load_task_config(config_type, config))
    if relative:
        _LOG.warning(
            "config %s: the relative paths %s begin at the job's folder on the cluster, which is "
            "removed when the job ends; give URIs, or absolute paths that all nodes share",
            config, ", ".join(relative),
        )  # fmt: skip
    return config.read_bytes()


def require_cluster(address: str, *, allow_open: bool) -> None:
    """Refuses a cluster that does not answer, requires no token, or runs another Ray.

    Args:
        address: address of the dashboard.
        allow_open: whether a cluster that requires no token is accepted.

    Raises:
        RequestError: one of these is the case, or ``address`` is not that of a dashboard.
    """
    if urlsplit(address).scheme not in ("http", "https"):
        raise RequestError(
            f"--address {address}: expected the address of the dashboard, http://HOST:8265 or "
            "https://..."
        )
    try:
        dashboard = query_dashboard(address)
    except OSError as error:
        raise RequestError(f"{address} does not answer ({error}); check --address") from error
    if dashboard.status in (401, 403):
        refusal = "requires a token" if find_cluster_token() is None else "refuses this token"
        raise RequestError(f"{address} {refusal}; {AUTH_REMEDY}")
    if dashboard.status != 200 or dashboard.ray_version is None:
        raise RequestError(
            f"{address} answers with HTTP status {dashboard.status}, as no Ray dashboard does; "
            "check --address"
        )
    if dashboard.is_open and not allow_open:
        raise RequestError(
            f"{address} requires no token, so anyone who can reach it can run code there; start "
            "the cluster with RAY_AUTH_MODE=token, or give --allow-open-cluster"
        )
    local_version = installed_versions()["ray"]
    if dashboard.ray_version != local_version:
        raise RequestError(
            f"{address} runs Ray {dashboard.ray_version}, but Ray {local_version} is installed "
            "here; install the cluster's version here, or run an image with this version on the "
            "cluster"
        )


def _parse_variable(text: str) -> tuple[str, str]:
    """Splits ``NAME=VALUE``; refuses secrets, because the dashboard shows all variables."""
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise RequestError(f"--env {text!r}: expected NAME=VALUE")
    if is_secret_name(name):
        raise RequestError(
            f"--env {name}: a job's environment is shown to everyone who sees the dashboard; give "
            "secrets to the cluster's machines instead (service account, instance profile, "
            "mounted file)"
        )
    _require_no_login(value)
    return name, value


def _require_no_login(text: str) -> None:
    """Refuses a text with a URL that contains a password."""
    if (url := find_credentialed_url(text)) is not None:
        raise RequestError(
            f"{url} contains a password, which the dashboard would show; remove it and give "
            "credentials to the cluster's machines"
        )
