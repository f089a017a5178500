"""Scans with their colours: GLB, OBJ and PLY with a texture, vertex colours or neither."""

import io
import re
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import trimesh
import trimesh.resolvers
import trimesh.visual

from rayboot.data.glb import require_plain_glb, srgb_from_linear
from rayboot.data.mesh_files import MESH_SUFFIXES
from rayboot.errors import ShapeError

__all__ = ["TexturedScan", "read_textured_mesh"]

_GREY = 0.7
"""Brightness of a scan without colours."""


class TexturedScan(NamedTuple):
    """A mesh whose colour is that of its texture times a factor.

    Attributes:
        vertices: (N, 3) float64, unit and frame of the file; repeated where the texture is cut.
        faces: (F, 3) int32.
        factors: (N, 3) float32, by which the texture's colours are multiplied.
        image: (H, W, 3) uint8 sRGB; one white pixel where there is no texture.
        texture_coordinates: (N, 2) float32, origin at the image's lower left.
        colors: Where the colours come from: ``texture``, ``vertices`` or ``none``.
    """

    vertices: np.ndarray
    faces: np.ndarray
    factors: np.ndarray
    image: np.ndarray
    texture_coordinates: np.ndarray
    colors: str


def read_textured_mesh(path: Path) -> TexturedScan:
    """Reads a scan and the files of materials and textures beside it.

    Args:
        path: A file that ends in one of :data:`~rayboot.data.mesh_files.MESH_SUFFIXES`.

    Raises:
        ShapeError: The file is of another kind, damaged, or has no triangles.
    """
    kind = path.suffix.lower()
    if kind not in MESH_SUFFIXES:
        raise ShapeError(
            f"{path}: expected a scan that ends in {', '.join(MESH_SUFFIXES)}, got "
            f"{kind or 'no suffix'}"
        )
    try:
        mesh = _load(path, kind)
        num_triangles = len(mesh.faces)
    except ShapeError as error:
        raise ShapeError(f"{path}: {error}") from error
    except Exception as error:  # trimesh has no error class of its own for damaged files
        raise ShapeError(
            f"{path}: the {kind} file is damaged or of another kind "
            f"({type(error).__name__}: {error})"
        ) from error
    if num_triangles == 0:
        raise ShapeError(f"{path}: expected a scan with triangles, got points alone")
    # Where a PLY names no image, trimesh puts a white one in its place.
    has_texture = kind != ".ply" or _names_texture(path)
    factors, image, coordinates, colors = _read_colors(mesh, has_texture)
    return TexturedScan(
        np.asarray(mesh.vertices, np.float64),
        np.asarray(mesh.faces, np.int32),
        np.asarray(factors, np.float32),
        image,
        np.asarray(coordinates, np.float32),
        colors,
    )


def _load(path: Path, kind: str) -> Any:
    payload = path.read_bytes()
    if kind == ".glb":
        require_plain_glb(payload)
    elif kind == ".obj":
        payload = _count_from_start(payload)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scene = trimesh.load_scene(
            io.BytesIO(payload),
            file_type=kind[1:],
            resolver=trimesh.resolvers.FilePathResolver(str(path)),
            process=False,
        )
        if kind == ".glb":
            for part in scene.geometry.values():
                _use_srgb_colors(part)
        return scene.to_mesh()


def _use_srgb_colors(part: Any) -> None:
    """Gives a part of a GLB the colours of its vertices, which glTF stores in linear light.

    trimesh keeps those of a part with a material aside and drops them when parts are joined.
    """
    colors = getattr(part.visual, "vertex_attributes", {}).get("color")
    if colors is None and part.visual.kind == "vertex":
        colors = part.visual.vertex_colors
    if colors is None or _find_texture(part.visual) is not None:
        return
    values = np.asarray(colors)[:, :3]
    largest = np.iinfo(values.dtype).max if values.dtype.kind in "iu" else 1
    srgb = np.rint(255 * srgb_from_linear(values / largest)).astype(np.uint8)
    part.visual = trimesh.visual.ColorVisuals(part, vertex_colors=srgb)


def _names_texture(path: Path) -> bool:
    """Whether the header of a PLY names a texture, as MeshLab and Metashape write it."""
    header = path.read_bytes().partition(b"end_header")[0]
    return re.search(rb"^comment TextureFile ", header, re.MULTILINE) is not None


def _count_from_start(payload: bytes) -> bytes:
    """Returns an OBJ without negative indices, which trimesh counts from the end of the file."""
    if not re.search(rb"^\s*f\s.*-\d", payload, re.MULTILINE):
        return payload
    counts = {b"v": 0, b"vt": 0, b"vn": 0}
    lines = []
    for line in payload.splitlines():
        words = line.split()
        if words and words[0] in counts:
            counts[words[0]] += 1
        elif words[:1] == [b"f"]:
            words[1:] = [_to_absolute(word, list(counts.values())) for word in words[1:]]
            line = b" ".join(words)
        lines.append(line)
    return b"\n".join(lines)


def _to_absolute(corner: bytes, counts: list[int]) -> bytes:
    parts = zip(corner.split(b"/"), counts, strict=False)
    return b"/".join(
        str(count + 1 + int(part)).encode() if part.startswith(b"-") else part
        for part, count in parts
    )


def _find_texture(visual: Any) -> Any:
    """Returns the image of a material, which glTF and OBJ name differently; None without."""
    material = getattr(visual, "material", None)
    image = getattr(material, "baseColorTexture", None) or getattr(material, "image", None)
    return image if getattr(visual, "uv", None) is not None else None


def _read_colors(mesh: Any, has_texture: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray, str]:
    """Returns factors (N, 3), the image, texture coordinates (N, 2) and where they come from."""
    count, visual = len(mesh.vertices), mesh.visual
    image = _find_texture(visual) if has_texture else None
    if image is not None:
        return np.ones((count, 3)), np.asarray(image.convert("RGB")), visual.uv, "texture"
    white, corner = np.full((1, 1, 3), 255, np.uint8), np.full((count, 2), 0.5)
    if visual.kind in ("vertex", "face"):
        return np.asarray(visual.vertex_colors)[:, :3] / 255, white, corner, "vertices"
    return np.full((count, 3), _GREY), white, corner, "none"
