"""A reconstruction that a client asked for, and what it gets."""

from typing import Literal, NamedTuple

from rayboot.geometry.physical_size import MeshUnit

__all__ = ["MeshFormat", "Output", "ReconstructionRequest", "Reply", "Which"]

Output = Literal["glb", "ply", "obj", "volume", "json"]
"""``glb``, ``ply``: a mesh with coloured vertices. ``obj``: a mesh with the photo as texture, in a
ZIP archive of OBJ, MTL and PNG. ``volume``: the occupancy as NPZ. ``json``: faces, landmarks and
pose."""

MeshFormat = Literal["none", "glb"]
"""What ``json`` contains of the mesh: nothing, or the GLB in base64."""

Which = Literal["served", "comparison"]
"""Which of the two models of the service predicts."""


class ReconstructionRequest(NamedTuple):
    """A photo and what is wanted of it.

    Attributes:
        photo: bytes of the image file.
        faces: ``all``, ``largest``, or the number of one face, the largest being 1.
        output: form of the result.
        mesh: for the output ``json``: whether it contains meshes.
        which: which model predicts.
        unit: unit of meshes and of the landmarks on them.
    """

    photo: bytes
    faces: str = "largest"
    output: Output = "glb"
    mesh: MeshFormat = "none"
    which: Which = "served"
    unit: MeshUnit = "metre"


class Reply(NamedTuple):
    """The result of a request.

    Attributes:
        body: bytes of the response.
        media_type: its type.
        file_name: name under which a browser stores it.
        model: name of the model with its version.
        num_faces: number of faces in the photo.
    """

    body: bytes
    media_type: str
    file_name: str
    model: str
    num_faces: int
