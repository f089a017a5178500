"""Requests to the dashboard of a Ray cluster: its version, its GPUs, whether it requires a token.

Whoever can submit a job runs code on every machine of the cluster, so a dashboard without a
token is open to everybody who can reach it.
"""

import json
import os
import urllib.error
import urllib.request
from pathlib import Path
from typing import NamedTuple

__all__ = [
    "AUTH_REMEDY",
    "DashboardResponse",
    "count_cluster_gpus",
    "find_cluster_token",
    "query_dashboard",
]

AUTH_REMEDY = (
    "copy the cluster's token to ~/.ray/auth_token (mode 600), or set RAY_AUTH_MODE=token "
    "and RAY_AUTH_TOKEN_PATH"
)

_TIMEOUT_S = 5.0
_MAX_BYTES = 50_000_000
"""A page of nodes has some kilobytes for each."""


class DashboardResponse(NamedTuple):
    """Response of a dashboard.

    Attributes:
        status: HTTP status, of the request with the token if one is required and available.
        is_open: whether the dashboard answered without a token.
        ray_version: version of Ray on the cluster; None if the response does not contain it.
    """

    status: int
    is_open: bool
    ray_version: str | None


def query_dashboard(address: str) -> DashboardResponse:
    """Requests the version, first without a token, then with the token of the environment.

    Args:
        address: ``http://HOST:8265`` or ``https://...``.

    Raises:
        OSError: there is no response.
    """
    url = f"{address.rstrip('/')}/api/version"
    status, body = _get(url, None)
    if status not in (401, 403):
        return DashboardResponse(status, status == 200, _parse_version(body))
    token = find_cluster_token()
    if token is not None:
        status, body = _get(url, token)
    return DashboardResponse(status, False, _parse_version(body) if status == 200 else None)


def count_cluster_gpus(address: str) -> float | None:
    """Returns the number of GPUs of the nodes that are alive; None if the dashboard does not tell.

    Args:
        address: as of :func:`query_dashboard`; a token of the environment is sent.
    """
    url = f"{address.rstrip('/')}/api/v0/nodes?detail=1&limit=10000"
    try:
        _, body = _get(url, find_cluster_token())
        nodes = json.loads(body)["data"]["result"]["result"]
        alive = [node["resources_total"] for node in nodes if node["state"] == "ALIVE"]
        return float(sum(resources.get("GPU", 0.0) for resources in alive))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def find_cluster_token() -> str | None:
    """Returns the token for Ray clusters from where Ray itself reads it; None if there is none."""
    if token := os.environ.get("RAY_AUTH_TOKEN"):
        return token.strip()
    path = Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or "~/.ray/auth_token").expanduser()
    try:
        return path.read_text().strip() or None
    except OSError:
        return None


def _get(url: str, token: str | None) -> tuple[int, bytes]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    # Callers pass http:// and https:// addresses only; any other is no address of a dashboard.
    request = urllib.request.Request(url, headers=headers)  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as response:  # noqa: S310
            return response.status, response.read(_MAX_BYTES)
    except urllib.error.HTTPError as error:
        return error.code, b""


def _parse_version(body: bytes) -> str | None:
    try:
        version = json.loads(body).get("ray_version")
    except (ValueError, AttributeError):
        return None
    return version if isinstance(version, str) else None
