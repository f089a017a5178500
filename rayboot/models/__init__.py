"""The VRN network, its loss and its weights: torch, no Ray."""

from typing import TYPE_CHECKING

from rayboot.models.config import InferenceConfig, VRNConfig

if TYPE_CHECKING:
    from rayboot.models.vrn import VRN
    from rayboot.models.weights import import_weights, load_vrn, read_config, save_vrn

__all__ = [
    "VRN",
    "InferenceConfig",
    "VRNConfig",
    "import_weights",
    "load_vrn",
    "read_config",
    "save_vrn",
]


def __getattr__(name: str) -> object:
    # A config names a network without PyTorch, which takes seconds and 200 MB to load.
    if name == "VRN":
        from rayboot.models.vrn import VRN

        return VRN
    if name in __all__:
        from rayboot.models import weights

        return getattr(weights, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
