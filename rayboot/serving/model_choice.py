"""Which model is served: a given one, or the registry's champion, or the shipped one."""

from typing import NamedTuple

from rayboot.errors import RequestError
from rayboot.registry.model_names import BUILTIN_BASE
from rayboot.serving.serve_config import ServeConfig

__all__ = ["ModelChoice", "choose_comparison", "choose_model"]


class ModelChoice(NamedTuple):
    """A model whose version may change while it is served.

    Attributes:
        name: a file, ``builtin:...`` or ``models:/...``; None is the champion.
        registered_name: the registered model of that champion.
        tracking_uri: URI of the MLflow store, absolute.
        registry_uri: URI of a registry apart from it, absolute; None where it is in the store.
    """

    name: str | None
    registered_name: str
    tracking_uri: str
    registry_uri: str | None = None

    @property
    def can_move(self) -> bool:
        """Whether the name may refer to another version later."""
        return self.name is None or (self.name.startswith("models:/") and "@" in self.name)

    def environment(self) -> dict[str, str]:
        """Returns the variables of processes that resolve the name."""
        if self.registry_uri is None:
            return {}
        return {"MLFLOW_REGISTRY_URI": self.registry_uri}

    def current_name(self) -> str:
        """Returns the name to resolve now.

        Looked up each time where the champion is served, because there may be none yet.
        """
        if self.name is not None:
            return self.name
        from rayboot.registry.promotion import CHAMPION, champion_version

        if champion_version(self.tracking_uri, self.registered_name) is None:
            return BUILTIN_BASE
        return f"models:/{self.registered_name}@{CHAMPION}"


def choose_model(config: ServeConfig) -> ModelChoice:
    """Returns what a config serves; its paths must be absolute.

    Raises:
        RequestError: there is no such model.
    """
    choice = _make_choice(config, config.model)
    _require(choice)
    return choice


def choose_comparison(config: ServeConfig) -> ModelChoice | None:
    """Returns the model to compare with; None where there is none.

    Raises:
        RequestError: the config names one that does not exist.
    """
    if config.compare_with is not None:
        choice = _make_choice(config, config.compare_with)
        _require(choice)
        return choice
    if config.model is not None:
        return None
    from rayboot.registry.promotion import PREVIOUS

    choice = _make_choice(config, f"models:/{config.registered_name}@{PREVIOUS}")
    try:
        _require(choice)
    except RequestError:
        return None
    return choice


def _require(choice: ModelChoice) -> None:
    from rayboot.registry.resolve import resolve_model

    resolve_model(choice.current_name(), choice.tracking_uri)


def _make_choice(config: ServeConfig, name: str | None) -> ModelChoice:
    from rayboot.registry.runs import (
        absolute_registry_uri,
        absolute_tracking_uri,
        default_tracking_uri,
    )

    store = absolute_tracking_uri(config.tracking_uri or default_tracking_uri())
    registry = absolute_registry_uri(store)
    return ModelChoice(name, config.registered_name, store, None if registry == store else registry)
