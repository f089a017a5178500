"""What a run asks of its surroundings, read from its config."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from rayboot.credentials import explain_url_credentials, find_credentialed_url
from rayboot.errors import RequestError

__all__ = ["RunRequirements", "read_requirements"]

_WRITTEN = ("output", "storage")
"""Keys of what a run writes to."""

_DEFAULT_TRACKING = "sqlite:///mlflow.db"


class RunRequirements(NamedTuple):
    """What a run asks of its surroundings."""

    gpu: bool = False
    storage_uris: tuple[str, ...] = ()
    tracking_uri: str = _DEFAULT_TRACKING
    ray_address: str | None = None
    written_uris: tuple[str, ...] = ()
    """Those of ``storage_uris`` that the run writes to."""


def read_requirements(
    config: str | Path | None, environment: Mapping[str, str] = os.environ
) -> RunRequirements:
    """What the run of ``config`` needs; without one, what a laptop's demo needs.

    Any run's YAML will do: URIs, addresses and GPUs are recognised wherever
    they stand in it.

    Raises:
        RequestError: the config cannot be read or is no mapping, or a URL has a login in it.
    """
    values: Any = {}
    if config is not None:
        try:
            values = yaml.safe_load(Path(config).read_text(encoding="utf-8")) or {}
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            reason = str(error).splitlines()[0]
            raise RequestError(f"config {config}: cannot be read: {reason}") from error
        if not isinstance(values, dict):
            raise RequestError(f"config {config}: expected a mapping, got {type(values).__name__}")
    if (
        url := find_credentialed_url([values, environment.get("MLFLOW_TRACKING_URI", "")])
    ) is not None:
        raise RequestError(explain_url_credentials(url))
    entries = list(_entries(values))
    named = {key: value for key, value in entries if isinstance(value, str)}
    stores = [
        (key, uri) for key, uri in entries if isinstance(uri, str) and uri.startswith("s3://")
    ]
    return RunRequirements(
        gpu=any(_asks_for_gpu(key, value) for key, value in entries),
        storage_uris=tuple(sorted({uri for _, uri in stores})),
        tracking_uri=named.get("tracking_uri")
        or environment.get("MLFLOW_TRACKING_URI")
        or _DEFAULT_TRACKING,
        ray_address=named.get("ray_address") or environment.get("RAY_ADDRESS") or None,
        written_uris=tuple(sorted({uri for key, uri in stores if key in _WRITTEN})),
    )


def _entries(values: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(values, dict):
        for name, value in values.items():
            yield from _entries(value, str(name))
    elif isinstance(values, list):
        for value in values:
            yield from _entries(value, key)
    else:
        yield key, values


def _asks_for_gpu(key: str, value: Any) -> bool:
    if key == "device":
        return isinstance(value, str) and value.startswith("cuda")
    return "gpu" in key and isinstance(value, int | float) and value > 0
