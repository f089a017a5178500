"""OBJ files with a texture: the mesh, its material, and the texture as a PNG next to it.

The vertices have no colours: viewers that know both would multiply the texture by them.
"""

import posixpath
import re
from pathlib import PurePosixPath

import numpy as np

from rayboot.data.images import encode_image
from rayboot.geometry.mesh import Mesh
from rayboot.geometry.physical_size import MeshUnit, units_per_pixel
from rayboot.render.texture_atlas import TextureAtlas, make_face_atlas

__all__ = ["companion_names", "encode_face_obj", "encode_textured_obj"]

_MATERIAL = "photo"


def companion_names(obj_name: str) -> tuple[str, str]:
    """Returns the names of the material and of the texture that belong to an OBJ file.

    The texture is not named as the mesh alone, since the photo itself may be ``STEM.png``.

    Args:
        obj_name: name or path of the OBJ file.
    """
    path = PurePosixPath(obj_name)
    # Line breaks and the like would end the line that refers to the file.
    stem = re.sub(r"[\x00-\x1f\x7f\x85\u2028\u2029]", "_", path.stem)
    folder = posixpath.dirname(obj_name)
    return posixpath.join(folder, f"{stem}.mtl"), posixpath.join(folder, f"{stem}-texture.png")


def encode_face_obj(
    mesh: Mesh, crop: np.ndarray, closeup: np.ndarray | None, obj_name: str, unit: MeshUnit
) -> dict[str, bytes]:
    """Encodes the mesh of a face with its photo as texture; returns files by their names.

    Args:
        mesh: mesh in the frame of its crop, px.
        crop: (S, S, 3) uint8.
        closeup: (T, T, 3) uint8, the crop in a finer resolution, or None where the photo has none.
        obj_name: name or path of the OBJ file.
        unit: unit of the file's vertices.
    """
    atlas = make_face_atlas(mesh, crop, closeup)
    scaled = np.asarray(mesh.vertices * units_per_pixel(unit, crop.shape[0]), np.float32)
    return encode_textured_obj(mesh._replace(vertices=scaled), atlas, obj_name, unit)


def encode_textured_obj(
    mesh: Mesh, atlas: TextureAtlas, obj_name: str, unit: MeshUnit | None = None
) -> dict[str, bytes]:
    """Encodes a mesh with a texture as three files.

    Args:
        mesh: the mesh; its colours are not used.
        atlas: the texture, with the corners of all triangles of the mesh.
        obj_name: name or path of the OBJ file; the others are in the same folder.
        unit: unit of the vertices, which a comment then names.

    Returns:
        The content of each file by its name: OBJ, MTL and PNG.
    """
    material_name, texture_name = companion_names(obj_name)
    return {
        obj_name: _encode_mesh(mesh, atlas, posixpath.basename(material_name), unit),
        material_name: _encode_material(posixpath.basename(texture_name)),
        texture_name: encode_image(atlas.image, "png"),
    }


def _encode_mesh(
    mesh: Mesh, atlas: TextureAtlas, material_name: str, unit: MeshUnit | None
) -> bytes:
    header = ["# rayboot", *([] if unit is None else [f"# unit {unit}"])]
    points = [f"v {x:.6f} {y:.6f} {z:.6f}" for x, y, z in mesh.vertices.tolist()]
    places = [f"vt {u:.6f} {v:.6f}" for u, v in atlas.coordinates.tolist()]
    corners = zip((mesh.faces + 1).tolist(), (atlas.corners + 1).tolist(), strict=True)
    triangles = [f"f {a}/{p} {b}/{q} {c}/{r}" for (a, b, c), (p, q, r) in corners]
    # One smoothing group, so that viewers with lights show no facets.
    material = [f"usemtl {_MATERIAL}", "s 1"]
    lines = [*header, f"mtllib {material_name}", *points, *places, *material, *triangles, ""]
    return "\n".join(lines).encode()


def _encode_material(texture_name: str) -> bytes:
    """Returns a material without highlights; the photo contains the light, so it needs no other."""
    lines = [
        f"newmtl {_MATERIAL}",
        "Kd 1 1 1",
        "Ks 0 0 0",
        "illum 0",
        f"map_Kd {texture_name}",
        "",
    ]
    return "\n".join(lines).encode()
