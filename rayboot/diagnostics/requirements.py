"""Requirements of a run on machine and services, read from its config."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from rayboot.config import describe_yaml_error, parse_yaml
from rayboot.credentials import explain_url_credentials, find_credentialed_url
from rayboot.errors import RequestError

__all__ = ["WRITTEN_KEYS", "RunRequirements", "iterate_entries", "read_requirements"]

WRITTEN_KEYS = ("output", "storage")
"""Config keys whose URIs a run writes to."""

_STORE_PROTOCOLS = ("s3://", "s3a://", "gs://", "gcs://", "abfs://", "abfss://", "az://")
"""How URIs of object stores begin."""

_MLFLOW_STORES = ("TRACKING", "REGISTRY")
_DEFAULT_TRACKING = "sqlite:///mlflow.db"


class RunRequirements(NamedTuple):
    """What a run requires of the machine and of services.

    Attributes:
        gpu: whether the run needs a CUDA GPU.
        storage_uris: URIs of object stores that the run reads or writes.
        tracking_uri: URI of the MLflow store.
        ray_address: address of the Ray cluster; None for a local Ray.
        written_uris: those of ``storage_uris`` that the run writes to.
        compilation: whether networks are to be compiled.
        registry_uri: URI of a registry apart from the MLflow store; None where they are one.
    """

    gpu: bool = False
    storage_uris: tuple[str, ...] = ()
    tracking_uri: str = _DEFAULT_TRACKING
    ray_address: str | None = None
    written_uris: tuple[str, ...] = ()
    compilation: bool = False
    registry_uri: str | None = None


def read_requirements(
    config: str | Path | None, environment: Mapping[str, str] = os.environ
) -> RunRequirements:
    """Returns the requirements of a run; without a config, those of a demo on this machine.

    The YAML of any command is accepted: URIs, addresses and GPUs are recognised at any depth.

    Args:
        config: YAML file of the run, or None.
        environment: environment variables by name.

    Raises:
        RequestError: the config cannot be read or is no mapping, or a URL contains a login.
    """
    values: Any = {}
    if config is not None:
        try:
            values = parse_yaml(Path(config).read_text(encoding="utf-8")) or {}
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            reason = (
                describe_yaml_error(error)
                if isinstance(error, yaml.YAMLError)
                else str(error).splitlines()[0]
            )
            raise RequestError(f"config {config}: cannot be read: {reason}") from error
        if not isinstance(values, dict):
            raise RequestError(
                f"config {config}: expected a mapping of config keys, got {type(values).__name__}"
            )
    if (
        url := find_credentialed_url(
            [values, *(environment.get(f"MLFLOW_{name}_URI", "") for name in _MLFLOW_STORES)]
        )
    ) is not None:
        raise RequestError(explain_url_credentials(url))
    entries = list(iterate_entries(values))
    named = {key: value for key, value in entries if isinstance(value, str)}
    stores = [
        (key, uri)
        for key, uri in entries
        if isinstance(uri, str) and uri.startswith(_STORE_PROTOCOLS)
    ]
    return RunRequirements(
        gpu=any(_requests_gpu(key, value) for key, value in entries),
        storage_uris=tuple(sorted({uri for _, uri in stores})),
        tracking_uri=named.get("tracking_uri")
        or environment.get("MLFLOW_TRACKING_URI")
        or _DEFAULT_TRACKING,
        ray_address=named.get("ray_address") or environment.get("RAY_ADDRESS") or None,
        written_uris=tuple(sorted({uri for key, uri in stores if key in WRITTEN_KEYS})),
        compilation=any(key == "compile" and value is True for key, value in entries),
        registry_uri=environment.get("MLFLOW_REGISTRY_URI") or None,
    )


def iterate_entries(values: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Yields each leaf of nested mappings and lists with the key of its innermost mapping."""
    if isinstance(values, dict):
        for name, value in values.items():
            yield from iterate_entries(value, str(name))
    elif isinstance(values, list):
        for value in values:
            yield from iterate_entries(value, key)
    else:
        yield key, values


def _requests_gpu(key: str, value: Any) -> bool:
    if key == "device":
        return isinstance(value, str) and value.startswith("cuda")
    return "gpu" in key and isinstance(value, int | float) and value > 0
