"""Names of the built-in models; importing this module does not load MLflow."""

__all__ = ["BUILTIN", "BUILTIN_BASE", "BUILTIN_COMPACT", "BUILTIN_HEAD"]

BUILTIN_BASE = "builtin:base"
"""The shipped network for all yaws: for meshes, serving, and users without weights of their own."""

BUILTIN_COMPACT = "builtin:compact"
"""The shipped network for near-frontal faces: the "original" that a bootstrap round improves."""

BUILTIN_HEAD = "builtin:head"
"""The shipped regressor of the parametric head."""

BUILTIN = {
    BUILTIN_BASE: "base.safetensors",
    BUILTIN_COMPACT: "compact.safetensors",
    BUILTIN_HEAD: "head.safetensors",
}
"""Weights files of the built-in models, in the folder of :mod:`rayboot.models`."""
