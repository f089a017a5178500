"""Fingerprints: which request an output belongs to, so that only the same request resumes it."""

import json
from collections.abc import Mapping
from typing import Any

from rayboot.errors import RequestError
from rayboot.io.storage import exists, join_uri, read_bytes, write_bytes

__all__ = ["Fingerprint"]


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
    """

    def __init__(
        self,
        output: str,
        name: str,
        identity: Mapping[str, Any],
        former_name: str | None = None,
    ) -> None:
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
                stored: dict[str, Any] = json.loads(read_bytes(uri))
                self._require_same(stored)
                return stored
        return None

    def save(self, **details: Any) -> dict[str, Any]:
        """Writes the record with its details, and returns its content."""
        content = {**self._identity, **details}
        payload = json.dumps(content, indent=1).encode()
        write_bytes(join_uri(self._output, self._names[0]), payload)
        return content

    def _require_same(self, stored: Mapping[str, Any]) -> None:
        for key, value in self._identity.items():
            if stored.get(key) != value:
                raise RequestError(
                    f"output {self._output} was begun with another {key} ({stored.get(key)}, this "
                    f"run has {value}); choose a new output, or remove the old one"
                )
