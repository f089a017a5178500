"""What answers at the address of a Ray cluster's dashboard, and whether it asks for a token.

Whoever can submit a job runs code on every machine of the cluster, so a dashboard that asks for
no token is open to all who reach it.
"""

import json
import os
import urllib.error
import urllib.request
from pathlib import Path
from typing import NamedTuple

__all__ = ["TOKEN_REMEDY", "Dashboard", "cluster_token", "query_dashboard"]

TOKEN_REMEDY = (
    "copy the cluster's token to ~/.ray/auth_token (mode 600), or set RAY_AUTH_MODE=token "
    "and RAY_AUTH_TOKEN_PATH"
)

_TIMEOUT_S = 5.0


class Dashboard(NamedTuple):
    """An answer.

    Attributes:
        status: of HTTP, with the token if one is asked for and at hand.
        is_open: it answered without a token.
        ray_version: that it tells; None where it does not.
    """

    status: int
    is_open: bool
    ray_version: str | None


def query_dashboard(address: str) -> Dashboard:
    """Asks for the version, first without a token, then with the one of the environment.

    Args:
        address: ``http://HOST:8265`` or ``https://...``.

    Raises:
        OSError: nothing answers.
    """
    url = f"{address.rstrip('/')}/api/version"
    status, body = _get(url, None)
    if status not in (401, 403):
        return Dashboard(status, status == 200, _version_in(body))
    token = cluster_token()
    if token is not None:
        status, body = _get(url, token)
    return Dashboard(status, False, _version_in(body) if status == 200 else None)


def cluster_token() -> str | None:
    """The token for Ray clusters, from where Ray itself looks; None where there is none."""
    if token := os.environ.get("RAY_AUTH_TOKEN"):
        return token.strip()
    path = Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or "~/.ray/auth_token").expanduser()
    try:
        return path.read_text().strip() or None
    except OSError:
        return None


def _get(url: str, token: str | None) -> tuple[int, bytes]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    request = urllib.request.Request(url, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:
            return answer.status, answer.read(100_000)
    except urllib.error.HTTPError as error:
        return error.code, b""


def _version_in(body: bytes) -> str | None:
    try:
        found = json.loads(body).get("ray_version")
    except (ValueError, AttributeError):
        return None
    return found if isinstance(found, str) else None
