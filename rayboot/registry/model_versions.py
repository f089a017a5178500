"""The versions that a registry holds, and what their tags say."""

import re
from collections.abc import Mapping
from typing import NamedTuple

from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from rayboot.errors import RequestError
from rayboot.registry.promotion import LOCK_SUFFIX
from rayboot.registry.runs import make_client

__all__ = ["ModelVersion", "find_version", "list_versions"]


class ModelVersion(NamedTuple):
    """A registered version."""

    name: str
    version: str
    aliases: tuple[str, ...]
    tags: Mapping[str, str]
    run_id: str

    @property
    def uri(self) -> str:
        """``models:/NAME/VERSION``."""
        return f"models:/{self.name}/{self.version}"


def list_versions(tracking_uri: str, name: str | None = None) -> list[ModelVersion]:
    """All versions of a registered model, or of all, by name and number.

    Args:
        tracking_uri: of the registry.
        name: of the registered model.
    """
    client = make_client(tracking_uri)
    found: list[ModelVersion] = []
    for model in _models(client, name):
        aliases: dict[str, list[str]] = {}
        for alias, version in model.aliases.items():
            aliases.setdefault(str(version), []).append(alias)
        for item in _pages(client.search_model_versions, f"name='{model.name}'"):
            number = str(item.version)
            names = tuple(sorted(aliases.get(number, ())))
            tags = dict(item.tags)
            found.append(ModelVersion(model.name, number, names, tags, item.run_id or ""))
    return sorted(found, key=lambda version: (version.name, int(version.version)))


def find_version(tracking_uri: str, uri: str) -> ModelVersion:
    """The version that ``models:/NAME/VERSION`` or ``models:/NAME@ALIAS`` names.

    Raises:
        RequestError: there is none.
    """
    named = re.fullmatch(r"models:/([^/@]+)(?:/(\d+)|@(.+))", uri)
    if named is not None:
        name, number, alias = named.groups()
        for version in list_versions(tracking_uri, name):
            if version.version == number or alias in version.aliases:
                return version
    raise RequestError(
        f"model {uri}: not in the registry {tracking_uri}; give models:/NAME/VERSION or "
        "models:/NAME@ALIAS, and set MLFLOW_TRACKING_URI to the store that has it"
    )


def _models(client: MlflowClient, name: str | None) -> list:
    if name is None:
        every = _pages(client.search_registered_models, None)
        # Aliases are not in every store's list.
        names = [model.name for model in every if not model.name.endswith(LOCK_SUFFIX)]
    else:
        names = [name]
    found = []
    for known in names:
        try:
            found.append(client.get_registered_model(known))
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
    return found


def _pages(search, condition: str | None) -> list:  # type: ignore[no-untyped-def]
    found, token = [], None
    while True:
        page = search(filter_string=condition, max_results=200, page_token=token)
        found += list(page)
        token = page.token
        if not token:
            return found
