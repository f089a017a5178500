"""The service as Ray Serve's config files name it, for clusters that others start.

A RayService (``infra/kubernetes/service``) or ``serve deploy`` imports :func:`build`.
"""

from typing import Any

from ray import serve

from rayboot.config import parse_config
from rayboot.serving.deployments import build_service
from rayboot.serving.model_choice import choose_comparison, choose_model
from rayboot.serving.run import prepare_service, require_token
from rayboot.serving.serve_config import ServeConfig

__all__ = ["build"]


def build(args: dict[str, Any]) -> serve.Application:
    """Returns the application.

    Args:
        args: fields of :class:`~rayboot.serving.serve_config.ServeConfig`. Host and port are those
            of the cluster's proxies, which other machines reach, so that a token is required.

    Raises:
        RequestError: a field or the model does not exist, or the token is missing.
    """
    config = parse_config(ServeConfig, args, source="args of the service")
    config = prepare_service(config.replace(host="0.0.0.0"))  # noqa: S104 - requires the token
    token_digest = require_token(config)
    return build_service(config, choose_model(config), choose_comparison(config), token_digest)
