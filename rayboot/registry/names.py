"""How models are named; known without loading MLflow."""

__all__ = ["BUILTIN_COMPACT"]

BUILTIN_COMPACT = "builtin:compact"
"""The compact baseline that is shipped with the package."""
