"""The VRN network, its loss and its weights: torch, no Ray."""

from rayboot.models.config import VRNConfig
from rayboot.models.vrn import VRN
from rayboot.models.weights import load_vrn, read_config, save_vrn

__all__ = ["VRN", "VRNConfig", "load_vrn", "read_config", "save_vrn"]
