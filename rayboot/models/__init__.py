"""Networks, their losses and their weights, in PyTorch and without Ray."""

import importlib
from typing import TYPE_CHECKING

from rayboot.models.network_config import (
    HeadConfig,
    InferenceConfig,
    NetworkConfig,
    UNetConfig,
    VRNConfig,
)

if TYPE_CHECKING:
    from rayboot.models.head_regressor import HeadRegressor
    from rayboot.models.reconstructor import Reconstructor
    from rayboot.models.unet import VolumetricUNet
    from rayboot.models.vrn import VRN
    from rayboot.models.weights import (
        import_weights,
        load_network,
        load_vrn,
        make_network,
        read_config,
        require_weights,
        save_network,
    )

__all__ = [
    "VRN",
    "HeadConfig",
    "HeadRegressor",
    "InferenceConfig",
    "NetworkConfig",
    "Reconstructor",
    "UNetConfig",
    "VRNConfig",
    "VolumetricUNet",
    "import_weights",
    "load_network",
    "load_vrn",
    "make_network",
    "read_config",
    "require_weights",
    "save_network",
]

_MODULES = {
    "VRN": "vrn",
    "VolumetricUNet": "unet",
    "HeadRegressor": "head_regressor",
    "Reconstructor": "reconstructor",
}


def __getattr__(name: str) -> object:
    # Configs describe networks without PyTorch, whose import takes seconds and 200 MB.
    if name in __all__:
        module = importlib.import_module(f"rayboot.models.{_MODULES.get(name, 'weights')}")
        return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
