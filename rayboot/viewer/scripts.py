"""What pages with a 3D view embed: its script, the script's hash, and packed arrays."""

import base64
import hashlib
from importlib import resources

import numpy as np

__all__ = ["hash_script", "pack_array", "read_viewer_script"]


def read_viewer_script() -> str:
    """Returns the script that defines ``MeshViewer``, for a page to embed."""
    return resources.files("rayboot.viewer").joinpath("viewer.js").read_text("utf-8")


def hash_script(script: str) -> str:
    """Returns the hash by which a content security policy names a script, without quotes."""
    return f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}"


def pack_array(values: np.ndarray, kind: str) -> dict[str, str]:
    """Returns an array as JSON values that ``MeshViewer.unpack`` reads.

    Args:
        values: array of any shape.
        kind: type of the packed numbers: ``i2``, ``u1``, ``u2`` or ``u4``.

    Returns:
        ``kind``, and ``bytes``, the little-endian numbers in base64.
    """
    payload = np.ascontiguousarray(values).astype(f"<{kind}").tobytes()
    return {"kind": kind, "bytes": base64.b64encode(payload).decode()}
