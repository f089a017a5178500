"""Names of the built-in models; importing this module does not load MLflow."""

__all__ = ["BUILTIN", "BUILTIN_COMPACT", "BUILTIN_HEAD"]

BUILTIN_COMPACT = "builtin:compact"
"""The compact network that is shipped with the package."""

BUILTIN_HEAD = "builtin:head"
"""The shipped regressor of the parametric head."""

BUILTIN = {BUILTIN_COMPACT: "compact.safetensors", BUILTIN_HEAD: "head.safetensors"}
"""Weights files of the built-in models, in the folder of :mod:`rayboot.models`."""
