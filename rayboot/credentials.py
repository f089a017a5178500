"""What tells a secret: the name of a variable, a login in a URL; and texts without them.

Credentials come from the standard chains (environment, files, roles): none belongs into a
config, a log line or what a run leaves behind.
"""

import re
from collections.abc import Iterator
from typing import Any

__all__ = [
    "find_credentialed_url",
    "find_url_credentials",
    "is_secret_name",
    "login_remedy",
    "redact_url_credentials",
]

_NAME = re.compile(
    r"SECRET|PASSWORD|PASSWD|PASSPHRASE|TOKEN|ACCESS_?KEY|API_?KEY|ACCOUNT_?KEY|PRIVATE_?KEY"
    r"|CREDENTIAL|CONNECTION_STRING|SIGNATURE",
    re.IGNORECASE,
)
_LOGIN = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*://)(?P<login>[^/\s'\"]*)@", re.IGNORECASE)
_QUERY = re.compile(
    r"(?P<name>[?&](?:[^=&\s'\"]*(?:signature|token|secret|password|api_?key)[^=&\s'\"]*|sig)=)"
    r"(?P<value>[^&\s'\"]+)",
    re.IGNORECASE,
)
_HIDDEN = "***"


def is_secret_name(name: str) -> bool:
    """Whether a variable or key of this name holds a secret, or says where one is."""
    return _NAME.search(name) is not None


def redact_url_credentials(text: str) -> str:
    """``text``, its URLs without user, password, signature and token."""
    text = _LOGIN.sub(rf"\g<scheme>{_HIDDEN}@", text)
    return _QUERY.sub(rf"\g<name>{_HIDDEN}", text)


def find_url_credentials(text: str) -> Iterator[str]:
    """The passwords, signatures and tokens that stand in the URLs of ``text``."""
    for found in _LOGIN.finditer(text):
        _, colon, password = found["login"].partition(":")
        if colon and password:
            yield password
    for found in _QUERY.finditer(text):
        yield found["value"]


def find_credentialed_url(value: Any) -> str | None:
    """The first URL with a secret in it, itself without; None where there is none.

    A user's name alone is none.

    Args:
        value: a text, or mappings and sequences of texts, however deep.
    """
    if isinstance(value, str):
        urls = (url for url in re.split(r"[\s'\"]+", value) if any(find_url_credentials(url)))
        return next(map(redact_url_credentials, urls), None)
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        return next((found for item in value if (found := find_credentialed_url(item))), None)
    return None


def login_remedy(url: str) -> str:
    """The sentence of an error about what :func:`find_credentialed_url` found."""
    return (
        f"{url} has a password or token in it, which would be written into logs, manifests and "
        "MLflow; leave it out and give credentials where their owner looks for them: "
        "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, AWS_ACCESS_KEY_ID and "
        "AWS_SECRET_ACCESS_KEY, or the files and roles of the machine"
    )
