"""A page that shows faces and lets one turn them, by mouse, touch or keyboard.

The page contains everything that it needs, so that it can be stored in a notebook, sent, and opened
without a network.
"""

import base64
import html
import json
import re
from collections.abc import Sequence
from importlib import resources
from typing import Any, NamedTuple

import numpy as np

from rayboot.viewer.scripts import hash_script, pack_array, read_viewer_script

__all__ = ["ViewedFace", "make_face_page"]

_HALF_EXTENT = 32_000
"""Largest packed coordinate."""


class ViewedFace(NamedTuple):
    """A face to show.

    Attributes:
        label: name of the face, as plain text.
        vertices: (N, 3) float in px of the crop; x right, y up, z towards the viewer, origin in the
            middle of the crop.
        triangles: (F, 3) int, counter-clockwise from outside.
        colors: (N, 3) uint8 sRGB, or None.
        crop_size: width of the crop, px.
        photo: JPEG or PNG of what the crop shows, in any resolution; None if there is none.
    """

    label: str
    vertices: np.ndarray
    triangles: np.ndarray
    colors: np.ndarray | None
    crop_size: int
    photo: bytes | None = None


def make_face_page(faces: Sequence[ViewedFace], title: str) -> str:
    """Returns an HTML page; it needs no other file and no network.

    Args:
        faces: one face or more; of several, the page shows the one that is chosen there.
        title: title of the page, as plain text.
    """
    scripts = [read_viewer_script(), _read("face_page.js")]
    # What a file name contains must not end the element.
    data = json.dumps([_pack(face) for face in faces]).replace("<", "\\u003c")
    values = {
        "title": html.escape(title),
        "hashes": " ".join(f"'{hash_script(script)}'" for script in scripts),
        "styles": _read("face_page.css"),
        "data": data,
        "scripts": "".join(f"<script>{script}</script>\n" for script in scripts),
    }
    # In one pass, because a title may contain such a mark.
    return re.sub(r"\{\{(\w+)\}\}", lambda mark: values[mark[1]], _read("face_page.html"))


def _pack(face: ViewedFace) -> dict[str, Any]:
    """Returns a face as JSON values: a coordinate is ``step`` times the packed one plus ``centre``.

    Packed coordinates have 16 bits, which are finer than a hundredth of a pixel.
    """
    low, high = face.vertices.min(axis=0), face.vertices.max(axis=0)
    centre = (low + high) / 2
    step = float(np.abs(face.vertices - centre).max()) / _HALF_EXTENT
    return {
        "label": face.label,
        "positions": pack_array(np.rint((face.vertices - centre) / step), "i2"),
        "step": step,
        "centre": [float(value) for value in centre],
        "indices": pack_array(face.triangles, "u2" if len(face.vertices) < 2**16 else "u4"),
        "colors": None if face.colors is None else pack_array(face.colors, "u1"),
        "cropSize": face.crop_size,
        "photo": None if face.photo is None else _data_uri(face.photo),
    }


def _data_uri(image: bytes) -> str:
    kind = "png" if image.startswith(b"\x89PNG") else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(image).decode()}"


def _read(name: str) -> str:
    return resources.files("rayboot.viewer").joinpath(name).read_text("utf-8")
