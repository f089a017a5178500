"""Checks of a run's requirements, and a support bundle that describes a failure without secrets."""

from rayboot.diagnostics.support_bundle import SupportBundle, write_support_bundle

__all__ = ["SupportBundle", "write_support_bundle"]
