"""Recognition of secrets in variable names and URLs, and their redaction from text.

Credentials come from the standard provider chains (environment, files, roles): none belongs
in a config, a log line or the output of a run.
"""

import re
from collections.abc import Iterator
from typing import Any

__all__ = [
    "explain_url_credentials",
    "find_credentialed_url",
    "find_url_credentials",
    "is_secret_name",
    "redact_url_credentials",
]

_SECRET_NAME = re.compile(
    r"SECRET|PASSWORD|PASSWD|PASSPHRASE|TOKEN|ACCESS_?KEY|API_?KEY|ACCOUNT_?KEY|PRIVATE_?KEY"
    r"|CREDENTIAL|CONNECTION_STRING|SIGNATURE",
    re.IGNORECASE,
)
_URL_LOGIN = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*://)(?P<login>[^/\s'\"]*)@", re.IGNORECASE)
_URL_QUERY = re.compile(
    r"(?P<name>[?&](?:[^=&\s'\"]*(?:signature|token|secret|password|api_?key)[^=&\s'\"]*|sig)=)"
    r"(?P<value>[^&\s'\"]+)",
    re.IGNORECASE,
)
_REDACTED = "***"


def is_secret_name(name: str) -> bool:
    """Whether a variable or key of this name holds a secret, or the location of one."""
    return _SECRET_NAME.search(name) is not None


def redact_url_credentials(text: str) -> str:
    """Returns ``text`` with user, password, signature and token removed from its URLs."""
    text = _URL_LOGIN.sub(rf"\g<scheme>{_REDACTED}@", text)
    return _URL_QUERY.sub(rf"\g<name>{_REDACTED}", text)


def find_url_credentials(text: str) -> Iterator[str]:
    """Yields the passwords, signatures and tokens in the URLs of ``text``."""
    for match in _URL_LOGIN.finditer(text):
        _, colon, password = match["login"].partition(":")
        if colon and password:
            yield password
    for match in _URL_QUERY.finditer(text):
        yield match["value"]


def find_credentialed_url(value: Any) -> str | None:
    """Returns the first URL that contains a secret, redacted; None if there is none.

    A user name without a password is not a secret.

    Args:
        value: a string, or mappings and sequences of strings, nested to any depth.
    """
    if isinstance(value, str):
        urls = (url for url in re.split(r"[\s'\"]+", value) if any(find_url_credentials(url)))
        return next(map(redact_url_credentials, urls), None)
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        return next((url for item in value if (url := find_credentialed_url(item))), None)
    return None


def explain_url_credentials(url: str) -> str:
    """Returns the error message for a URL that :func:`find_credentialed_url` returned."""
    return (
        f"{url} contains a password or token, which would be written to logs, manifests and "
        "MLflow; remove it from the URL and store the credentials where the client reads them: "
        "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, AWS_ACCESS_KEY_ID and "
        "AWS_SECRET_ACCESS_KEY, or the files and roles of the machine"
    )
