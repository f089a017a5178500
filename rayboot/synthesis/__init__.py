"""Faces with known shape: photographs, landmarks, volumes, meshes and poses."""

from typing import TYPE_CHECKING

from rayboot.synthesis.synthesis_config import SynthesisConfig, YawConfig

if TYPE_CHECKING:
    from rayboot.pipeline.synthesize import synthesize

__all__ = ["SynthesisConfig", "YawConfig", "synthesize"]


def __getattr__(name: str) -> object:
    # Writing a set opens EGL; reading its config does not.
    if name == "synthesize":
        from rayboot.pipeline.synthesize import synthesize

        return synthesize
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
