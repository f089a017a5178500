"""Photographs to bootstrap pairs: Ray Data stages, composed into generate."""

from rayboot.pipeline.config import GenerateConfig

__all__ = ["GenerateConfig"]
