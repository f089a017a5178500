"""Shapes of faces as the bodies of responses."""

import base64
import io
import json
import zipfile
from typing import Any

import numpy as np

from rayboot.inference.reconstruction import Reconstruction
from rayboot.serving.face_description import describe_detection, describe_face
from rayboot.serving.face_finder import FoundFaces
from rayboot.serving.reconstruction_request import Output, ReconstructionRequest, Reply

__all__ = ["make_reply"]

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
    output, count = request.output, len(found.detections)
    numbers = [face.number for face in found.chosen]
    faces = [
        Reconstruction(
            "the photo", model, face.crop, face.crop_from_photo, volume, closeup=face.closeup
        )
        for face, volume in zip(found.chosen, volumes, strict=True)
    ]
    if output == "json":
        document = _describe(request, found, dict(zip(numbers, faces, strict=True)), model)
        body = json.dumps(document, separators=(",", ":")).encode()
        return Reply(body, _MEDIA_TYPES[output], "face.json", model, count)
    files: dict[str, bytes] = {}
    for number, face in zip(numbers, faces, strict=True):
        files |= _encode(request, output, face, f"face-{number}.{_SUFFIXES[output]}")
    if request.faces == "all" or output == "obj":
        return Reply(_zip(files), "application/zip", "faces.zip", model, count)
    ((name, body),) = files.items()
    return Reply(body, _MEDIA_TYPES[output], name, model, count)


def _encode(
    request: ReconstructionRequest, output: Output, face: Reconstruction, name: str
) -> dict[str, bytes]:
    """Returns the files of a face by their names."""
    if output == "volume":
        buffer = io.BytesIO()
        np.savez_compressed(
            buffer,
            occupancy=face.volume.astype(np.float16),
            crop_from_photo=face.crop_from_photo,
        )
        return {name: buffer.getvalue()}
    assert output != "json"
    if output == "obj":
        return face.encode_obj(name, request.unit)
    return {name: face.encode(output, request.unit)}


def _describe(
    request: ReconstructionRequest,
    found: FoundFaces,
    faces: dict[int, Reconstruction],
    model: str,
) -> dict[str, Any]:
    """Returns the JSON document of faces by their numbers."""
    descriptions = []
    for number, face in faces.items():
        description = describe_face(number, face, request.unit)
        if request.mesh == "glb":
            description["glb"] = base64.b64encode(face.encode("glb", request.unit)).decode()
        descriptions.append(description)
    return {
        "model": model,
        "unit": request.unit,
        "photo": {"width": found.width, "height": found.height},
        "detections": [
            describe_detection(number, detection)
            for number, detection in enumerate(found.detections, 1)
        ],
        "faces": descriptions,
    }


def _zip(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    # GLB and NPZ hardly shrink; level 1 makes text a third of its size in little time.
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, payload in files.items():
            archive.writestr(name, payload)
    return buffer.getvalue()
