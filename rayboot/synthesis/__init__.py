"""Synthetic faces with known shape: photos, landmarks, volumes, meshes and poses."""

from rayboot.synthesis.synthesis_config import SynthesisConfig, YawConfig

__all__ = ["SynthesisConfig", "YawConfig"]
