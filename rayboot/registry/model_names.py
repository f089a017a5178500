"""How models are named; known without loading MLflow."""

__all__ = ["BUILTIN", "BUILTIN_COMPACT", "BUILTIN_HEAD"]

BUILTIN_COMPACT = "builtin:compact"
"""The compact baseline that is shipped with the package."""

BUILTIN_HEAD = "builtin:head"
"""The parametric regressor that is shipped likewise."""

BUILTIN = {BUILTIN_COMPACT: "compact.safetensors", BUILTIN_HEAD: "head.safetensors"}
"""Files beside the code of :mod:`rayboot.models`."""
