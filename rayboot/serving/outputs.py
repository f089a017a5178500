"""Shapes of faces as the bodies of responses."""

import base64
import io
import json
import zipfile
from typing import Any

import numpy as np

from rayboot.data.mesh_files import encode_mesh
from rayboot.geometry.isosurface import extract_solid_surface
from rayboot.geometry.mesh import Mesh
from rayboot.render.texturing import color_vertices
from rayboot.serving.face_description import describe_detection, describe_face
from rayboot.serving.face_finder import CroppedFace, FoundFaces
from rayboot.serving.reconstruction_request import MeshFormat, Output, ReconstructionRequest, Reply

__all__ = ["build_mesh", "encode_obj", "make_reply"]

_MEDIA_TYPES = {
    "glb": "model/gltf-binary",
    "ply": "application/octet-stream",
    "obj": "application/zip",
    "volume": "application/octet-stream",
    "json": "application/json",
}
_SUFFIXES = {"glb": "glb", "ply": "ply", "obj": "obj", "volume": "npz"}


def make_reply(
    request: ReconstructionRequest, found: FoundFaces, volumes: list[np.ndarray], model: str
) -> Reply:
    """Encodes the shapes of the chosen faces in the form that was asked for.

    Several files, and OBJ, come as one ZIP archive.

    Args:
        request: the request.
        found: the faces of its photo.
        volumes: (D, S, S) float32 occupancy of each chosen face.
        model: name of the model with its version.

    Raises:
        DegenerateInputError: the network predicts no shape for a face.
    """
    output = request.output
    if output == "json":
        document = _describe(found, volumes, model, request.mesh)
        body = json.dumps(document, separators=(",", ":")).encode()
        return Reply(body, _MEDIA_TYPES[output], "face.json", model, len(found.detections))
    files = {
        f"face-{face.number}.{_SUFFIXES[output]}": _encode(output, face, volume)
        for face, volume in zip(found.chosen, volumes, strict=True)
    }
    if request.faces == "all" or output == "obj":
        return Reply(_zip(files), "application/zip", "faces.zip", model, len(found.detections))
    ((name, body),) = files.items()
    return Reply(body, _MEDIA_TYPES[output], name, model, len(found.detections))


def build_mesh(face: CroppedFace, volume: np.ndarray) -> Mesh:
    """Returns the surface of a volume (D, S, S), coloured by its crop."""
    # The face may have any pose, so no symmetry plane is estimated.
    return color_vertices(extract_solid_surface(volume), face.crop, None, "mirrored")


def encode_obj(mesh: Mesh) -> bytes:
    """Encodes a mesh as OBJ, with the colours of its vertices after their coordinates.

    MeshLab, Blender, CloudCompare and trimesh read colours there.
    """
    assert mesh.colors is not None
    rows = np.column_stack([mesh.vertices, mesh.colors / 255])
    text = io.StringIO()
    text.write("# rayboot: x right, y up, z towards the viewer, in px of the crop\n")
    np.savetxt(text, rows, "v %.3f %.3f %.3f %.4f %.4f %.4f")
    np.savetxt(text, mesh.faces + 1, "f %d %d %d")
    return text.getvalue().encode()


def _encode(output: Output, face: CroppedFace, volume: np.ndarray) -> bytes:
    if output == "volume":
        buffer = io.BytesIO()
        np.savez_compressed(
            buffer,
            occupancy=volume.astype(np.float16),
            crop_from_photo=face.crop_from_photo,
        )
        return buffer.getvalue()
    mesh = build_mesh(face, volume)
    if output == "obj":
        return encode_obj(mesh)
    assert output != "json"
    return encode_mesh(mesh, output)


def _describe(
    found: FoundFaces, volumes: list[np.ndarray], model: str, mesh_format: MeshFormat
) -> dict[str, Any]:
    faces = []
    for face, volume in zip(found.chosen, volumes, strict=True):
        mesh = build_mesh(face, volume)
        description = describe_face(face, mesh)
        if mesh_format == "glb":
            description["glb"] = base64.b64encode(encode_mesh(mesh, "glb")).decode()
        faces.append(description)
    return {
        "model": model,
        "photo": {"width": found.width, "height": found.height},
        "detections": [
            describe_detection(number, detection)
            for number, detection in enumerate(found.detections, 1)
        ],
        "faces": faces,
    }


def _zip(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    # GLB and NPZ hardly shrink; level 1 makes text a third of its size in little time.
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, payload in files.items():
            archive.writestr(name, payload)
    return buffer.getvalue()
