"""What is checked before a job is sent: its config, the cluster's token and version, secrets."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from rayboot.cluster.dashboard import AUTH_REMEDY, find_cluster_token, query_dashboard
from rayboot.cluster.versions import installed_versions
from rayboot.config import FrozenConfig, load_config
from rayboot.credentials import find_credentialed_url, is_secret_name
from rayboot.errors import RequestError
from rayboot.evaluate.evaluation_config import EvaluateConfig
from rayboot.pipeline.export_request import ReconstructConfig
from rayboot.pipeline.generate_config import GenerateConfig
from rayboot.rounds.robustness import RobustnessConfig
from rayboot.rounds.round_config import RoundConfig
from rayboot.synthesis import SynthesisConfig
from rayboot.train.training_config import FinetuneConfig

__all__ = ["TASKS", "Submission", "prepare_submission", "require_cluster"]

TASKS: dict[str, type[FrozenConfig]] = {
    "synthesize": SynthesisConfig,
    "plan": GenerateConfig,
    "generate": GenerateConfig,
    "finetune": FinetuneConfig,
    "evaluate": EvaluateConfig,
    "round": RoundConfig,
    "reconstruct": ReconstructConfig,
}
"""Commands that can be submitted, and what their config is."""

CONFIG_NAME = "config.yaml"
"""Of the config, in the job's folder."""


class Submission(NamedTuple):
    """A checked request.

    Attributes:
        task: the command.
        address: of the cluster's dashboard, ``http://HOST:8265``.
        config: the YAML, as it goes into the job's folder.
        entrypoint: the shell command of the job.
        environment: variables of the job.
    """

    task: str
    address: str
    config: bytes
    entrypoint: str
    environment: dict[str, str]


def prepare_submission(
    task: str,
    config: Path,
    address: str,
    *,
    arguments: Sequence[str] = (),
    environment: Sequence[str] = (),
    allow_open: bool = False,
) -> Submission:
    """Checks what can be checked before anything runs on the cluster.

    Args:
        task: one of :data:`TASKS`.
        config: YAML of the run.
        address: of the dashboard.
        arguments: further ones of the command.
        environment: ``NAME=VALUE`` each, for the job.
        allow_open: take a cluster that asks for no token.

    Raises:
        RequestError: the config is wrong, a secret would be sent, or the cluster does not answer,
            is open, refuses the token or runs another Ray.
    """
    kind = RobustnessConfig if "robustness" in arguments else TASKS[task]
    load_config(kind, config)
    variables = dict(_variable(text) for text in environment)
    for text in (config.read_text("utf-8"), *arguments):
        _require_no_login(text)
    address = address.rstrip("/")
    require_cluster(address, allow_open=allow_open)
    command = shlex.join(["rayboot", task, "--config", CONFIG_NAME, *arguments])
    return Submission(task, address, config.read_bytes(), command, variables)


def require_cluster(address: str, *, allow_open: bool) -> None:
    """Refuses a cluster that is not there, takes anybody's code, or runs another Ray."""
    if urlsplit(address).scheme not in ("http", "https"):
        raise RequestError(
            f"--address {address}: expected the dashboard's, http://HOST:8265 or https://..."
        )
    try:
        found = query_dashboard(address)
    except OSError as error:
        raise RequestError(f"{address} does not answer ({error}); check --address") from error
    if found.status in (401, 403):
        does = "asks for a token" if find_cluster_token() is None else "refuses this token"
        raise RequestError(f"{address} {does}; {AUTH_REMEDY}")
    if found.status != 200 or found.ray_version is None:
        raise RequestError(f"{address} answers {found.status}; is this Ray's dashboard?")
    if found.is_open and not allow_open:
        raise RequestError(
            f"{address} asks for no token, so whoever reaches it runs code there; start the "
            "cluster with RAY_AUTH_MODE=token, or say --allow-open-cluster"
        )
    ours = installed_versions()["ray"]
    if found.ray_version != ours:
        raise RequestError(
            f"{address} runs Ray {found.ray_version}, here is Ray {ours}; install the cluster's "
            "version here, or give the cluster an image with this one"
        )


def _variable(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise RequestError(f"--env {text!r}: expected NAME=VALUE")
    if is_secret_name(name):
        raise RequestError(
            f"--env {name}: a job's environment is shown to all who see the dashboard; give "
            "secrets to the cluster's machines instead (service account, instance profile, "
            "mounted file)"
        )
    _require_no_login(value)
    return name, value


def _require_no_login(text: str) -> None:
    """Refuses a URL with a password in it."""
    if (url := find_credentialed_url(text)) is not None:
        raise RequestError(
            f"{url} has a password in it, which the dashboard would show; leave it out and give "
            "credentials to the cluster's machines"
        )
