"""One file that says what went wrong where, for whoever helps, without secrets and photographs."""

from rayboot.diagnostics.support_bundle import Bundle, write_bundle

__all__ = ["Bundle", "write_bundle"]
