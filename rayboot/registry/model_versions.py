"""The versions in a model registry, with their aliases and tags."""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from mlflow.entities.model_registry import RegisteredModel
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from rayboot.errors import RequestError
from rayboot.registry.promotion import CHAMPION, LOCK_SUFFIX, describe_missing_champion
from rayboot.registry.runs import absolute_registry_uri, open_existing_store

__all__ = ["ModelVersion", "find_version", "list_versions"]

_PAGE_SIZE = 200


class ModelVersion(NamedTuple):
    """A registered version.

    Attributes:
        name: name of the registered model.
        version: version number as text.
        aliases: aliases of this version, sorted.
        tags: tags of this version, which record its provenance.
        run_id: id of the MLflow run that registered it; empty where there is none.
    """

    name: str
    version: str
    aliases: tuple[str, ...]
    tags: Mapping[str, str]
    run_id: str

    @property
    def uri(self) -> str:
        """URI of the version, ``models:/NAME/VERSION``."""
        return f"models:/{self.name}/{self.version}"


def list_versions(tracking_uri: str, name: str | None = None) -> list[ModelVersion]:
    """Lists all versions of one registered model or of all, sorted by name and number.

    Args:
        tracking_uri: URI of the MLflow store.
        name: name of the registered model; None lists all models.

    Raises:
        RequestError: there is no such store.
    """
    client = open_existing_store(tracking_uri)
    versions: list[ModelVersion] = []
    for model in _registered_models(client, name):
        aliases: dict[str, list[str]] = {}
        for alias, version in model.aliases.items():
            aliases.setdefault(str(version), []).append(alias)
        for item in _all_pages(client.search_model_versions, f"name='{model.name}'"):
            number = str(item.version)
            names = tuple(sorted(aliases.get(number, ())))
            tags = dict(item.tags)
            versions.append(ModelVersion(model.name, number, names, tags, item.run_id or ""))
    return sorted(versions, key=lambda version: (version.name, int(version.version)))


def find_version(tracking_uri: str, uri: str) -> ModelVersion:
    """Finds the version that ``models:/NAME/VERSION`` or ``models:/NAME@ALIAS`` refers to.

    Raises:
        RequestError: the registry has no such version or alias.
    """
    match = re.fullmatch(r"models:/([^/@]+)(?:/(\d+)|@(.+))", uri)
    if match is not None:
        name, number, alias = match.groups()
        for version in list_versions(tracking_uri, name):
            if version.version == number or alias in version.aliases:
                return version
        why = describe_missing_champion(open_existing_store(tracking_uri), name)
        if alias == CHAMPION and why is not None:
            raise RequestError(f"model {uri}: {why}")
    raise RequestError(
        f"model {uri}: not in the registry {absolute_registry_uri(tracking_uri)}; give "
        "models:/NAME/VERSION or models:/NAME@ALIAS, and set MLFLOW_TRACKING_URI, or "
        "MLFLOW_REGISTRY_URI, to the store that has it"
    )


def _registered_models(client: MlflowClient, name: str | None) -> list[RegisteredModel]:
    if name is None:
        listed = _all_pages(client.search_registered_models, None)
        names = [model.name for model in listed if not model.name.endswith(LOCK_SUFFIX)]
    else:
        names = [name]
    models = []
    for model_name in names:
        try:
            # Asked for one by one: some stores list models without their aliases.
            models.append(client.get_registered_model(model_name))
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
    return models


def _all_pages(search: Any, condition: str | None) -> list[Any]:
    """Collects all pages of one of the client's search functions."""
    items: list[Any] = []
    token = None
    while True:
        page = search(filter_string=condition, max_results=_PAGE_SIZE, page_token=token)
        items += list(page)
        token = page.token
        if not token:
            return items
