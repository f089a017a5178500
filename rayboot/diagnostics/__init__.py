"""One file that says what went wrong where, for whoever helps, without secrets and photographs."""

from rayboot.support.bundle import Bundle, write_bundle

__all__ = ["Bundle", "write_bundle"]
