import json

import numpy as np
import pytest

from rayboot.data.detector import Detection
from rayboot.errors import DegenerateInputError
from rayboot.serving.face_finder import CroppedFace, FoundFaces
from rayboot.serving.outputs import make_reply
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
