"""Errors of the local stack."""

from rayboot.errors import RaybootError

__all__ = ["StackError"]


class StackError(RaybootError):
    """A service of the local stack is missing, did not start, or ended by itself."""
