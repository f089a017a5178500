"""The model that a replica serves, which follows an alias of the registry.

A newly promoted version is loaded beside the old one and then takes its place. Requests hold the
model that they began with, so those in flight finish on the old version.
"""

import logging
import threading
from typing import NamedTuple

import torch

from rayboot.errors import RaybootError, RequestError
from rayboot.models import load_network
from rayboot.models.predictor import Predictor
from rayboot.registry.resolve import ResolvedModel, resolve_model
from rayboot.serving.model_choice import ModelChoice
from rayboot.serving.serve_config import ServeConfig

__all__ = ["LoadedModel", "ModelFollower"]

_LOG = logging.getLogger(__name__)


class LoadedModel(NamedTuple):
    """A network that is ready to predict.

    Attributes:
        uri: name of the model; an alias is replaced by the version that it pointed to.
        sha256: SHA-256 of its weights file, hex.
        size: width and height of its input, px.
        predictor: the network on its device.
    """

    uri: str
    sha256: str
    size: int
    predictor: Predictor


class ModelFollower:
    """Loads a model, and loads it again when its alias moves.

    Args:
        choice: what to serve.
        config: settings of the network and of the device.

    Raises:
        RequestError: the model does not exist.
    """

    def __init__(self, choice: ModelChoice, config: ServeConfig) -> None:
        self._choice, self._config = choice, config
        self._current = self._load(self._resolve())
        self._stop = threading.Event()
        if choice.can_move:
            threading.Thread(target=self._follow, name="model-follower", daemon=True).start()

    @property
    def current(self) -> LoadedModel:
        """The model for a request that begins now."""
        return self._current

    def refresh(self) -> bool:
        """Looks at the alias once; returns whether another model took the place of the last one.

        A registry that does not answer changes nothing.
        """
        try:
            resolved = self._resolve()
            if (resolved.uri, resolved.sha256) == (self._current.uri, self._current.sha256):
                return False
            loaded = self._load(resolved)
        except RaybootError as error:
            _LOG.warning("still serving %s: %s", self._current.uri, error)
            return False
        _LOG.info("serving %s instead of %s", loaded.uri, self._current.uri)
        self._current = loaded
        return True

    def close(self) -> None:
        """Stops following."""
        self._stop.set()

    def _follow(self) -> None:
        while not self._stop.wait(self._config.model_poll_s):
            try:
                self.refresh()
            except Exception:  # clients of registries raise errors of any class
                _LOG.warning("still serving %s", self._current.uri, exc_info=True)

    def _resolve(self) -> ResolvedModel:
        return resolve_model(self._choice.current_name(), self._choice.tracking_uri)

    def _load(self, model: ResolvedModel) -> LoadedModel:
        config = self._config
        device = "cuda" if config.num_gpus else "cpu"
        if device == "cuda" and not torch.cuda.is_available():
            raise RequestError(
                f"num_gpus is {config.num_gpus:g}, but PyTorch sees no GPU on this node; set it to "
                "0, or install a build of PyTorch with CUDA"
            )
        network = load_network(model.path, device)
        predictor = Predictor(network, config.inference, config.batch_size)
        predictor.warm_up(0.5, 0)
        return LoadedModel(model.uri, model.sha256, network.config.resolution, predictor)
