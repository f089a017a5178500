"""Finding the secrets of this machine, and removing them from texts.

Known secrets are those that rayboot's libraries would use: environment variables and files of
the standard credential chains. They are removed wherever they occur; in addition, any value in a
place where a secret is expected (``password=...``, a URL's login, an Authorization header) is
removed without being known.
"""

import configparser
import json
import netrc
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from rayboot.credentials import find_url_credentials, is_secret_name, redact_url_credentials

__all__ = ["REDACTED", "Redactor", "find_secrets"]

REDACTED = "<redacted>"

_MIN_CHARS = 4
_MIN_LINE_CHARS = 17
_MAX_FILE_BYTES = 64 * 2**10
_MODE_WORDS = frozenset(
    {"true", "false", "none", "null", "token", "disabled", "password", "secret"}
)
"""Values that name a mode rather than a secret; removing them would only make texts unreadable."""

_NOT_SECRET = frozenset({"AWS_ACCESS_KEY_ID", "aws_access_key_id"})
"""Names of accounts, which are public and which servers write into their logs."""

_CREDENTIAL_FILES = {
    "AWS_SHARED_CREDENTIALS_FILE": "~/.aws/credentials",
    "AWS_CONFIG_FILE": "~/.aws/config",
    "RAY_AUTH_TOKEN_PATH": "~/.ray/auth_token",
    "NETRC": "~/.netrc",
}
"""Default path of each credential file, by the variable that overrides it."""

_FIXED_FILES = ("~/.mlflow/credentials", "/var/run/secrets/kubernetes.io/serviceaccount/token")

_ASSIGNED = re.compile(
    r"(?P<name>[\"']?[\w.-]*(?:secret|password|passwd|passphrase|token|access_?key|api_?key"
    r"|account_?key|private_?key|credential|connection_string|signature)[\w.-]*[\"']?\s*[:=]\s*)"
    r"(?P<value>\"(?:[^\"\\]|\\.)*\"|'[^']*'|[^\s,;}\]'\"]+)",
    re.IGNORECASE,
)
_HEADER = re.compile(r"\b(Bearer|Basic)\s+[A-Za-z0-9+/=._~-]{6,}")


def find_secrets(environment: Mapping[str, str], texts: Iterable[str] = ()) -> frozenset[str]:
    """Returns the secrets that must not leave the machine.

    Args:
        environment: environment variables by name.
        texts: further texts, whose URLs may contain logins.
    """
    secrets = {
        secret for text in (*environment.values(), *texts) for secret in find_url_credentials(text)
    }
    files = [environment.get(name) or default for name, default in _CREDENTIAL_FILES.items()]
    paths = {Path(file).expanduser() for file in (*files, *_FIXED_FILES)}
    for name, value in environment.items():
        if not is_secret_name(name) or name in _NOT_SECRET:
            continue
        if value.startswith(("/", "~")) and Path(value).expanduser().is_file():
            paths.add(Path(value).expanduser())
        else:
            secrets.add(value.strip())
    for path in paths:
        secrets.update(_secrets_in_file(path))
    return frozenset(secret for secret in secrets if _is_distinctive(secret))


def _is_distinctive(secret: str) -> bool:
    """Whether a value cannot be confused with an ordinary word or number in a text."""
    number = secret.replace(".", "").isdigit() and len(secret) < 2 * _MIN_CHARS
    return len(secret) >= _MIN_CHARS and not number and secret.lower() not in _MODE_WORDS


def _secrets_in_file(path: Path) -> Iterator[str]:
    """Yields the secrets of a netrc, JSON, INI or plain file; nothing where it is unreadable."""
    try:
        if path.stat().st_size > _MAX_FILE_BYTES:
            return
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return
    if path.name.endswith("netrc"):
        yield from _passwords_in_netrc(path)
        return
    try:
        yield from _named_secrets(json.loads(text))
        return
    except ValueError:
        pass
    parser = configparser.RawConfigParser()
    try:
        parser.read_string(text)
    except configparser.Error:
        # The file is one token or key; a log may contain single lines of a long one.
        yield text.strip()
        yield from (
            line.strip() for line in text.splitlines() if len(line.strip()) >= _MIN_LINE_CHARS
        )
        return
    for section in parser.sections():
        yield from _named_secrets(dict(parser[section]))


def _passwords_in_netrc(path: Path) -> Iterator[str]:
    try:
        hosts = netrc.netrc(path).hosts
    except (netrc.NetrcParseError, OSError):
        return
    yield from (password for _, _, password in hosts.values() if password)


def _named_secrets(values: Any) -> Iterator[str]:
    """Yields strings of a nested structure whose key names a secret."""
    if isinstance(values, dict):
        for name, value in values.items():
            if isinstance(value, str):
                if is_secret_name(name) and name not in _NOT_SECRET:
                    yield value
                    yield from (line for line in value.splitlines() if len(line) >= _MIN_LINE_CHARS)
            else:
                yield from _named_secrets(value)
    elif isinstance(values, list):
        for value in values:
            yield from _named_secrets(value)
    elif isinstance(values, str):  # the file is one JSON string
        yield values


class Redactor:
    """Removes secrets from texts, and finds those that remain.

    Args:
        secrets: secrets from :func:`find_secrets`.
    """

    def __init__(self, secrets: frozenset[str]) -> None:
        forms = {
            form
            for secret in secrets
            for form in (secret, quote(secret, safe=""), json.dumps(secret)[1:-1])
        }
        # Longest first: one secret may be the beginning of another.
        self._forms = sorted(forms, key=len, reverse=True)

    def redact(self, text: str) -> str:
        """Returns ``text`` without known secrets, and without what looks like one."""
        for form in self._forms:
            text = text.replace(form, REDACTED)
        text = _HEADER.sub(rf"\1 {REDACTED}", redact_url_credentials(text))
        return _ASSIGNED.sub(rf"\g<name>{REDACTED}", text)

    def leaks(self, payload: bytes) -> bool:
        """Whether ``payload`` contains a known secret."""
        return any(form.encode() in payload for form in self._forms)
