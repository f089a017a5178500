"""Formats of image files: which one a file has, and how those that need more than Pillow open."""

import zlib
from functools import cache

__all__ = ["describe_format", "is_heif", "is_unread_jpeg", "register_heif", "strip_png_text"]

_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")

_SIGNATURES = (
    (b"\xff\x0a", "a JPEG XL file"),
    (b"\x00\x00\x00\x0cJXL ", "a JPEG XL file"),
    (b"8BPS", "a file of Photoshop"),
    (b"gimp xcf", "a file of GIMP"),
    (b"%PDF", "a PDF file"),
    (b"%!PS", "a PostScript file"),
    (b"PK\x03\x04", "a ZIP file"),
    (b"\x1f\x8b", "a file compressed by gzip"),
    (b"\x1a\x45\xdf\xa3", "a video"),
    (b"v/1\x01", "an OpenEXR file"),
    (b"#?RADIANCE", "a Radiance HDR file"),
    (b"FUJIFILMCCD-RAW", "raw data of a camera"),
    (b"version https://git-lfs", "a pointer of Git LFS, whose file was not downloaded"),
    (b"II*\0", "a TIFF file of an unknown kind, such as raw data of a camera"),
    (b"MM\0*", "a TIFF file of an unknown kind, such as raw data of a camera"),
)

_FRAMES = (frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}) | {0xF7}
_LOSSLESS_FRAMES = (0xC3, 0xC7, 0xCB, 0xCF, 0xF7)
"""Markers of the frame of a JPEG, and of those whose coding is lossless."""

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_TEXT = (b"tEXt", b"zTXt", b"iTXt")
_MAX_PROFILE_BYTES = 2**20


def describe_format(payload: bytes) -> str:
    """Returns what a file is that no decoder of photos recognises, as far as its bytes say so."""
    if (rare := _describe_rare_jpeg(payload)) is not None:
        return rare
    for signature, name in _SIGNATURES:
        if payload.startswith(signature):
            return name
    if payload[4:8] == b"ftyp":
        brand = payload[8:12].decode("ascii", "replace").strip()
        return f"a video or another file of the MPEG-4 family (brand {brand})"
    start = payload[:512].lstrip().lower()
    if start.startswith((b"<!doctype html", b"<html")):
        return "a web page, as servers send instead of a photo"
    if start.startswith((b"<svg", b"<?xml")):
        return "an SVG drawing or another XML file"
    return "bytes of no known image format"


def _describe_rare_jpeg(payload: bytes) -> str | None:
    """Returns what kind of JPEG a file is if decoders of photos do not read it, else None."""
    if not payload.startswith(b"\xff\xd8"):
        return None
    position = 2
    while position + 9 < len(payload) and payload[position] == 0xFF:
        marker, bits = payload[position + 1], payload[position + 4]
        if marker in _FRAMES:
            if marker in _LOSSLESS_FRAMES:
                return "a lossless JPEG, as medical scanners write them"
            return None if bits == 8 else f"a JPEG of {bits} bits per channel"
        position += 2 + int.from_bytes(payload[position + 2 : position + 4], "big")
    return None


def is_unread_jpeg(payload: bytes) -> bool:
    """Whether a file is a JPEG of a kind that decoders of photos do not read."""
    return _describe_rare_jpeg(payload) is not None


def is_heif(payload: bytes) -> bool:
    """Whether a file is HEIC or another HEIF file that holds HEVC, as phones write them."""
    return payload[4:8] == b"ftyp" and payload[8:12] in _HEIF_BRANDS and b"avif" not in payload[:64]


@cache
def register_heif() -> bool:
    """Lets Pillow open HEIF files; returns whether the extra ``heic`` is installed."""
    try:
        import pi_heif
    except ImportError:
        return False
    pi_heif.register_heif_opener()
    return True


def strip_png_text(payload: bytes) -> bytes | None:
    """Returns a PNG without its texts, which may be larger than Pillow accepts.

    Editors store their history and previews in compressed texts of megabytes. None of it is
    decompressed here. A colour profile is dropped too if it is larger than any real one.

    Returns:
        A PNG; None if the file is none, or has nothing to drop.
    """
    if not payload.startswith(_PNG_SIGNATURE):
        return None
    kept, position = [_PNG_SIGNATURE], len(_PNG_SIGNATURE)
    while position + 8 <= len(payload):
        length = int.from_bytes(payload[position : position + 4], "big")
        kind = payload[position + 4 : position + 8]
        chunk = payload[position : position + 12 + length]
        if kind not in _PNG_TEXT and not (kind == b"iCCP" and _is_oversized_profile(chunk[8:-4])):
            kept.append(chunk)
        position += len(chunk)
    stripped = b"".join(kept)
    return stripped if len(stripped) < len(payload) else None


def _is_oversized_profile(data: bytes) -> bool:
    _, _, compressed = data.partition(b"\0")
    decompressor = zlib.decompressobj()
    try:
        # The first byte is the method of compression.
        decompressor.decompress(compressed[1:], _MAX_PROFILE_BYTES)
    except zlib.error:
        return True
    return bool(decompressor.unconsumed_tail)
