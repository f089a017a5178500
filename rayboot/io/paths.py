r"""Paths as text: file names that are no UTF-8, and names that look like chained URLs.

A name on a Linux disk is any sequence of bytes, while Arrow, JSON and terminals require UTF-8.
Each byte that is no UTF-8 is written as ``\xF1``, everywhere: in ids, URIs, tables and messages.
Only where a local file is opened the byte is restored. A backslash that would read as such an
escape is written as ``\x5C``, so that no two names have the same text.
"""

import re

__all__ = ["escape_path", "escape_undecodable", "has_protocol", "is_chained", "unescape_path"]

_ESCAPE = re.compile(r"\\x(5C|[89A-F][0-9A-F])")
_AMBIGUOUS_BACKSLASH = re.compile(rf"\\(?={_ESCAPE.pattern[2:]})")
_UNDECODABLE = re.compile("[\udc80-\udcff]")
_PROTOCOL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


def escape_path(path: str) -> str:
    r"""Returns a path of the operating system as text that can be printed and stored.

    Args:
        path: As :func:`os.walk` and ``sys.argv`` give it: bytes that are no UTF-8 are lone
            surrogates.
    """
    if "\\" in path:
        path = _AMBIGUOUS_BACKSLASH.sub(r"\\x5C", path)
    return escape_undecodable(path)


def escape_undecodable(uri: str) -> str:
    """Returns a URI that a user typed, of which only the bytes that are no UTF-8 are escaped.

    What looks like an escape is one: it was copied from a message.
    """
    if uri.isascii():
        return uri
    return _UNDECODABLE.sub(lambda found: f"\\x{ord(found[0]) - 0xDC00:02X}", uri)


def unescape_path(path: str) -> str:
    """Returns the path of the operating system; the inverse of :func:`escape_path`."""
    if "\\x" not in path:
        return path
    return _ESCAPE.sub(_unescape, path)


def _unescape(found: re.Match[str]) -> str:
    code = int(found[1], 16)
    return chr(code) if code < 0x80 else chr(0xDC00 + code)


def has_protocol(uri: str) -> bool:
    """Whether a URI begins with a protocol, as ``s3://``; any other is a local path."""
    return _PROTOCOL.match(uri) is not None


def is_chained(uri: str) -> bool:
    """Whether a URI is a chain of fsspec, as ``simplecache::s3://bucket``.

    Any other URI with two colons contains a file whose name has them.
    """
    first, *others = uri.split("::")
    if not others:
        return False
    # Imported here, since the command line escapes its arguments before it needs any store.
    from fsspec import available_protocols

    known = set(available_protocols())
    return (first in known or has_protocol(first)) and all(
        part in known or has_protocol(part) for part in others
    )
