"""A page that shows a mesh and lets one turn it, by mouse, touch or keyboard.

The page contains everything that it needs: the mesh in 16 bits per coordinate, and some hundred
lines of WebGL. It is a tenth of the size of a page with plotly.js, since a notebook stores one for
each face that it shows.
"""

import base64
import hashlib
import html
import json
import re
from functools import cache
from importlib import resources
from typing import Any

import numpy as np

from rayboot.geometry.mesh import Mesh

__all__ = ["make_viewer_page", "pack_mesh"]

_HALF_EXTENT = 32_000
"""Largest packed coordinate."""


def make_viewer_page(mesh: Mesh, crop_size: int, title: str) -> str:
    """Returns an HTML page that shows a mesh; it needs no other file and no network.

    Args:
        mesh: mesh in the frame of the crop, with or without colours.
        crop_size: width of the crop, px.
        title: title of the page, as plain text.
    """
    script = _read("viewer.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    # What a file name contains must not end the element.
    data = json.dumps(pack_mesh(mesh, crop_size)).replace("<", "\\u003c")
    values = {
        "title": html.escape(title),
        "digest": digest,
        "styles": _read("viewer.css"),
        "data": data,
        "script": script,
    }
    # In one pass, because a title may contain such a mark.
    return re.sub(r"\{\{(\w+)\}\}", lambda mark: values[mark[1]], _read("viewer.html"))


def pack_mesh(mesh: Mesh, crop_size: int) -> dict[str, Any]:
    """Returns a mesh as the JSON values that the viewer reads.

    Args:
        mesh: mesh in the frame of the crop.
        crop_size: width of the crop, px.

    Returns:
        Little-endian bytes in base64: ``positions`` int16 and ``indices`` uint32, three of each,
        ``colors`` uint8 or None; ``extent``, half the width of the mesh's cube, by which packed
        positions were divided, in widths of the crop.
    """
    low, high = mesh.vertices.min(axis=0), mesh.vertices.max(axis=0)
    centred = mesh.vertices - (low + high) / 2
    extent = float(np.abs(centred).max())
    positions = np.rint(centred * (_HALF_EXTENT / extent))
    return {
        "positions": _encode(positions, "<i2"),
        "indices": _encode(mesh.faces, "<u4"),
        "colors": None if mesh.colors is None else _encode(mesh.colors, "u1"),
        "extent": extent / crop_size,
    }


def _encode(values: np.ndarray, kind: str) -> str:
    return base64.b64encode(np.ascontiguousarray(values, kind).tobytes()).decode()


@cache
def _read(name: str) -> str:
    return resources.files("rayboot.render.viewer").joinpath(name).read_text("utf-8")
