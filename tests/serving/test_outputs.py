import io
import json

import numpy as np
import pytest
import trimesh

from rayboot.data.detector import Detection
from rayboot.errors import DegenerateInputError
from rayboot.geometry.mesh import Mesh
from rayboot.serving.face_finder import CroppedFace, FoundFaces
from rayboot.serving.outputs import encode_obj, make_reply
from rayboot.serving.reconstruction_request import ReconstructionRequest


def found() -> FoundFaces:
    detection = Detection(np.array([1.0, 2, 3, 4]), np.zeros((5, 2)), 0.9)
    affine = np.array([[0.5, 0, 1], [0, 0.5, 2]])
    face = CroppedFace(1, affine, np.full((32, 32, 3), 90, np.uint8))
    return FoundFaces(100, 80, [detection], [face])


def test_an_empty_volume_has_no_mesh() -> None:
    with pytest.raises(DegenerateInputError):
        make_reply(ReconstructionRequest(b""), found(), [np.zeros((16, 32, 32), np.float32)], "m")


def test_a_shape_without_a_pose_has_no_landmarks() -> None:
    volume = np.zeros((16, 32, 32), np.float32)
    volume[8, 16, 16] = 1
    request = ReconstructionRequest(b"", output="json")
    document = json.loads(make_reply(request, found(), [volume], "m").body)
    (face,) = document["faces"]
    assert face["pose"] is None and face["landmarks"] is None
    assert face["crop_from_photo"] == [[0.5, 0, 1], [0, 0.5, 2]]
    assert document["detections"] == [{"face": 1, "box": [1, 2, 3, 4], "score": 0.9}]


def test_an_obj_keeps_vertices_triangles_and_colours() -> None:
    vertices = np.array([[0, 0, 0], [1.5, 0, 0], [0, -2, 0], [0, 0, 3]], np.float32)
    faces = np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]], np.int32)
    colors = np.array([[0, 1, 2], [255, 254, 253], [9, 8, 7], [100, 0, 200]], np.uint8)
    payload = encode_obj(Mesh(vertices, faces, colors))
    read = trimesh.load(io.BytesIO(payload), file_type="obj", process=False)
    assert np.allclose(read.vertices, vertices) and np.array_equal(read.faces, faces)
    assert np.array_equal(np.asarray(read.visual.vertex_colors)[:, :3], colors)
