"""Fingerprints: which request an output belongs to, so that only the same request resumes it."""

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from rayboot.errors import RequestError
from rayboot.io.storage import exists, join_uri, read_bytes, write_bytes

__all__ = ["Fingerprint", "require_same_request"]

_REMEDY = "choose a new output, or remove the old one"
_MAX_TEXT = 200


class Fingerprint:
    """Record of the request that an output was begun with.

    The record holds the request's identity, which every later run must share, and details
    that later runs read instead of computing them again. It is written once, as a whole, after
    everything that it describes: an output with a record has its listing as well.

    Args:
        output: URI of the folder that the request writes.
        name: Path of the record below ``output``.
        identity: JSON values that decide the content of the output.
        former_name: Path of the record in outputs of version 0.1.
        former_keys: Names that version 0.1 gave to keys of the record, with today's.
        remedy: What a user does whose request differs.
    """

    def __init__(
        self,
        output: str,
        name: str,
        identity: Mapping[str, Any],
        former_name: str | None = None,
        former_keys: Mapping[str, str] = MappingProxyType({}),
        remedy: str = _REMEDY,
    ) -> None:
        self._former_keys, self._remedy = former_keys, remedy
        self._output, self._names = output, [name, *([former_name] if former_name else [])]
        # As the record is read back: tuples become lists.
        self._identity: dict[str, Any] = json.loads(json.dumps(dict(identity)))

    def load(self) -> dict[str, Any] | None:
        """Content of the record; None where no run has begun.

        Raises:
            RequestError: Another request began the output.
        """
        for name in self._names:
            uri = join_uri(self._output, name)
            if exists(uri):
                record = json.loads(read_bytes(uri))
                stored = {self._former_keys.get(key, key): value for key, value in record.items()}
                require_same_request(self._output, stored, self._identity, self._remedy)
                return stored
        return None

    def save(self, **details: Any) -> dict[str, Any]:
        """Writes the record with its details, and returns its content."""
        content = {**self._identity, **details}
        payload = json.dumps(content, indent=1).encode()
        write_bytes(join_uri(self._output, self._names[0]), payload)
        return content


def require_same_request(
    output: str, stored: Mapping[str, Any], identity: Mapping[str, Any], remedy: str = _REMEDY
) -> None:
    """Refuses a request that is not the one which an output was begun with.

    Args:
        output: URI of the output.
        stored: What is recorded at the output.
        identity: What this request has for the same keys.
        remedy: What a user does whose request differs.

    Raises:
        RequestError: A value differs.
    """
    for key, value in identity.items():
        if stored.get(key) != value:
            raise RequestError(
                f"output {output} was begun with another {key} ({_shorten(stored.get(key))}, this "
                f"run has {_shorten(value)}); {remedy}"
            )


def _shorten(value: Any) -> str:
    """Text of a value for a message; a config of many lines would hide the sentence."""
    text = str(value)
    return text if len(text) <= _MAX_TEXT else f"{text[:_MAX_TEXT]}..."
