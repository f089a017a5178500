"""Secrets that this machine knows, and texts without them.

Known are those that rayboot's own libraries would use: variables and files of the standard
chains. They are looked for as they are; beside that, whatever stands where a secret would stand
(``password=...``, a URL's login, an Authorization header) is taken out unseen.
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

_SHORTEST = 4
_LARGEST_FILE = 64 * 2**10
_WORDS = frozenset({"true", "false", "none", "null", "token", "disabled", "password", "secret"})
"""Values that tell a mode: taking them out would only spoil texts."""

_NOT_SECRET = frozenset({"AWS_ACCESS_KEY_ID", "aws_access_key_id"})
"""Names of accounts, which servers write into their logs."""

_FILES = {
    "AWS_SHARED_CREDENTIALS_FILE": "~/.aws/credentials",
    "AWS_CONFIG_FILE": "~/.aws/config",
    "RAY_AUTH_TOKEN_PATH": "~/.ray/auth_token",
    "NETRC": "~/.netrc",
}
"""Where credentials lie unless a variable says otherwise."""

_FIXED = ("~/.mlflow/credentials", "/var/run/secrets/kubernetes.io/serviceaccount/token")

_ASSIGNED = re.compile(
    r"(?P<name>[\"']?[\w.-]*(?:secret|password|passwd|passphrase|token|access_?key|api_?key"
    r"|account_?key|private_?key|credential|connection_string|signature)[\w.-]*[\"']?\s*[:=]\s*)"
    r"(?P<value>\"(?:[^\"\\]|\\.)*\"|'[^']*'|[^\s,;}\]'\"]+)",
    re.IGNORECASE,
)
_HEADER = re.compile(r"\b(Bearer|Basic)\s+[A-Za-z0-9+/=._~-]{6,}")


def find_secrets(environment: Mapping[str, str], texts: Iterable[str] = ()) -> frozenset[str]:
    """What must not leave the machine.

    Args:
        environment: variables, by name.
        texts: further ones, whose URLs may have logins.
    """
    found = {
        secret for text in (*environment.values(), *texts) for secret in find_url_credentials(text)
    }
    places = [environment.get(name) or usual for name, usual in _FILES.items()]
    paths = {Path(place).expanduser() for place in (*places, *_FIXED)}
    for name, value in environment.items():
        if not is_secret_name(name) or name in _NOT_SECRET:
            continue
        if value.startswith(("/", "~")) and Path(value).expanduser().is_file():
            paths.add(Path(value).expanduser())
        else:
            found.add(value.strip())
    for path in paths:
        found.update(_secrets_in_file(path))
    return frozenset(secret for secret in found if _can_be_told(secret))


def _can_be_told(secret: str) -> bool:
    """Whether it can be told from a word or number that stands there by chance."""
    number = secret.replace(".", "").isdigit() and len(secret) < 2 * _SHORTEST
    return len(secret) >= _SHORTEST and not number and secret.lower() not in _WORDS


def _secrets_in_file(path: Path) -> Iterator[str]:
    try:
        if path.stat().st_size > _LARGEST_FILE:
            return
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return
    if path.name.endswith("netrc"):
        yield from _passwords_of_netrc(path)
        return
    try:
        yield from _named_in(json.loads(text))
        return
    except ValueError:
        pass
    parser = configparser.RawConfigParser()
    try:
        parser.read_string(text)
    except configparser.Error:
        # A token or a key alone; of a long one its lines, which a log may show by themselves.
        yield text.strip()
        yield from (line.strip() for line in text.splitlines() if len(line.strip()) > 16)
        return
    for section in parser.sections():
        yield from _named_in(dict(parser[section]))


def _passwords_of_netrc(path: Path) -> Iterator[str]:
    try:
        hosts = netrc.netrc(path).hosts
    except (netrc.NetrcParseError, OSError):
        return
    yield from (password for _, _, password in hosts.values() if password)


def _named_in(values: Any) -> Iterator[str]:
    if isinstance(values, dict):
        for name, value in values.items():
            if isinstance(value, str):
                if is_secret_name(name) and name not in _NOT_SECRET:
                    yield value
                    yield from (line for line in value.splitlines() if len(line) > 16)
            else:
                yield from _named_in(value)
    elif isinstance(values, list):
        for value in values:
            yield from _named_in(value)
    elif isinstance(values, str):  # the file is one JSON string
        yield values


class Redactor:
    """Takes secrets out of texts, and finds those that are left.

    Args:
        secrets: from :func:`find_secrets`.
    """

    def __init__(self, secrets: frozenset[str]) -> None:
        forms = {
            form
            for secret in secrets
            for form in (secret, quote(secret, safe=""), json.dumps(secret)[1:-1])
        }
        # Longest first: one may be the beginning of another.
        self._forms = sorted(forms, key=len, reverse=True)

    def redact(self, text: str) -> str:
        """``text`` without them, and without what looks like one."""
        for form in self._forms:
            text = text.replace(form, REDACTED)
        text = _HEADER.sub(rf"\1 {REDACTED}", redact_url_credentials(text))
        return _ASSIGNED.sub(rf"\g<name>{REDACTED}", text)

    def leaks(self, payload: bytes) -> bool:
        """Whether a known secret is in ``payload``."""
        return any(form.encode() in payload for form in self._forms)
