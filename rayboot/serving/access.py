"""Who may use the service: host names, origins of pages, and the token.

A service on loopback needs no token, but any page that the user's browser shows can send requests
to it. So requests of other origins are refused, and requests for other host names, because a
hostile page could let its own name point to 127.0.0.1.
"""

import hashlib
import hmac
from collections.abc import Mapping
from urllib.parse import urlsplit

from rayboot.serving.problems import Problem
from rayboot.serving.serve_config import TOKEN_VARIABLE, ServeConfig, is_loopback

__all__ = ["AccessRules", "digest_token"]

_OPEN_PATHS = ("/", "/healthz", "/readyz", "/openapi.json")
"""Pages without content of their own, which need no token."""


def digest_token(token: str) -> str:
    """Returns the SHA-256 of a token, hex, which is all that the service keeps of it."""
    return hashlib.sha256(token.encode()).hexdigest()


class AccessRules:
    """Decides whether a request may pass.

    Args:
        config: address, host names and origins.
        token_digest: digest of the token; None where none is required.
    """

    def __init__(self, config: ServeConfig, token_digest: str | None) -> None:
        self._origins = config.allowed_origins
        self._hosts = config.allowed_hosts
        self._is_local = is_loopback(config.host)
        self._token_digest = token_digest

    def require(self, path: str, headers: Mapping[str, str]) -> None:
        """Checks a request.

        Args:
            path: path of the URL.
            headers: headers with names in lower case.

        Raises:
            Problem: status 403 or 401.
        """
        host = headers.get("host", "")
        name = _host_name(host)
        if self._is_local and not is_loopback(name) and name not in self._hosts:
            raise Problem(
                403,
                "request",
                "unknown-host",
                f"this service is on 127.0.0.1 and was addressed as {name or 'nothing'}; use "
                "http://127.0.0.1 or http://localhost, or add the name to allowed_hosts",
            )
        origin = headers.get("origin")
        if origin is not None and origin not in self._origins and not _is_own(origin, host):
            raise Problem(
                403,
                "request",
                "foreign-origin",
                "pages of other sites may not use this service; add theirs to allowed_origins",
            )
        if self._token_digest is not None and path not in _OPEN_PATHS:
            self._require_token(headers.get("authorization", ""))

    def _require_token(self, authorization: str) -> None:
        assert self._token_digest is not None
        scheme, _, token = authorization.partition(" ")
        # Digests have one length, so that comparing them tells nothing about the token.
        given = digest_token(token.strip())
        if scheme.lower() != "bearer" or not hmac.compare_digest(given, self._token_digest):
            raise Problem(
                401,
                "request",
                "no-token",
                f"send the service's token ({TOKEN_VARIABLE}) as `Authorization: Bearer TOKEN`",
            )


def _host_name(host: str) -> str:
    """Returns the name in a header ``Host``, without the port; empty where it is malformed."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _is_own(origin: str, host: str) -> bool:
    """Whether a request comes from the service's own page."""
    return origin.partition("://")[2].lower() == host.lower()
