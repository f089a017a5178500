import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import trimesh
from mlflow.exceptions import MlflowException
from mlflow.utils.proto_json_utils import NumpyEncoder

from rayboot.data.images import decode_photo
from rayboot.errors import FaceRejectedError, RequestError, ShapeError
from rayboot.inference.face_reconstructor import FaceReconstructor
from rayboot.inference.mlflow_model import ServedReconstructor
from rayboot.models import load_network

WEIGHTS = Path(__file__).resolve().parents[2] / "rayboot/models/compact.safetensors"


@pytest.fixture(scope="module")
def reconstructor() -> FaceReconstructor:
    return FaceReconstructor(WEIGHTS)


@pytest.fixture(scope="module")
def photo(shared_dir: Path) -> np.ndarray:
    first = sorted((shared_dir / "faces/lfw-deepfunneled").rglob("*.jpg"))[0]
    return decode_photo(first.read_bytes())


def test_crops_give_the_networks_prediction(reconstructor: FaceReconstructor) -> None:
    crops = np.random.default_rng(0).integers(0, 256, (3, 96, 96, 3), np.uint8)
    with torch.inference_mode():
        expected = load_network(WEIGHTS)(
            torch.from_numpy(crops.transpose(0, 3, 1, 2) / np.float32(255))
        )
    occupancy = reconstructor.reconstruct(crops)
    assert occupancy.dtype == np.float32
    # The fast path may compute in bfloat16.
    assert np.abs(occupancy - expected.numpy()).max() < 0.05


@pytest.mark.parametrize("kind", ["glb", "ply"])
def test_a_photo_becomes_a_coloured_mesh(
    reconstructor: FaceReconstructor, photo: np.ndarray, kind: str
) -> None:
    (payload,) = reconstructor.reconstruct(photo[None], kind)
    mesh = trimesh.load(io.BytesIO(payload), file_type=kind, force="mesh", process=False)
    assert len(mesh.vertices) > 5000
    assert np.abs(mesh.vertices[:, :2]).max() <= 48
    if kind == "ply":
        assert np.asarray(mesh.visual.vertex_colors)[:, :3].std() > 10
    else:  # beside a material, trimesh drops vertex colours
        assert b'"COLOR_0"' in payload


def test_a_photo_without_a_face_is_refused(reconstructor: FaceReconstructor) -> None:
    with pytest.raises(FaceRejectedError, match=r"no-face|no face"):
        reconstructor.reconstruct(np.full((1, 200, 150, 3), 90, np.uint8))


def test_one_photo_without_a_face_does_not_fail_the_others(
    reconstructor: FaceReconstructor, photo: np.ndarray
) -> None:
    photos = np.stack([photo, np.full_like(photo, 90), photo])
    first, nothing, last = reconstructor.reconstruct_each(photos, "ply")
    assert isinstance(nothing, FaceRejectedError)
    assert str(nothing).count("photo 1 of 3, counted from 0") == 1
    (alone,) = reconstructor.reconstruct(photo[None], "ply")
    # The fast path rounds by batch.
    assert first[:3] == b"ply" and len(first) == pytest.approx(len(alone), rel=0.05)
    assert len(last) == pytest.approx(len(alone), rel=0.05)
    with pytest.raises(FaceRejectedError, match="photo 1 of 3"):
        reconstructor.reconstruct(photos)


def test_a_served_batch_answers_what_it_can(
    reconstructor: FaceReconstructor, photo: np.ndarray
) -> None:
    served = ServedReconstructor()
    served._reconstructor = reconstructor
    context: Any = None
    photos = np.stack([np.full_like(photo, 90), photo])
    for output in ("glb", "occupancy"):
        failed, answered = served.predict(context, photos, {"output": output})
        assert "photo 0 of 2" in failed["error"]
        assert len(answered) > 100
        json.dumps([failed, answered], cls=NumpyEncoder)  # what the server sends
    for wrong, sentence in ((photos[:1], "photo 0 of 1"), (photo, r"\(B, H, W, 3\), got uint8")):
        with pytest.raises(MlflowException, match=sentence) as caught:
            served.predict(context, wrong)
        assert len(str(caught.value)) < 250
    assert served.predict(context, photos[1:]).shape == (1, 112, 96, 96)


def test_input_is_checked(reconstructor: FaceReconstructor) -> None:
    with pytest.raises(RequestError, match="one of occupancy, glb, ply, got 'obj'"):
        reconstructor.reconstruct(np.zeros((1, 96, 96, 3), np.uint8), "obj")
    with pytest.raises(ShapeError, match=r"uint8 RGB \(B, H, W, 3\), got float32"):
        reconstructor.reconstruct(np.zeros((1, 96, 96, 3), np.float32))
    assert reconstructor.reconstruct(np.zeros((0, 96, 96, 3), np.uint8)).shape == (0, 112, 96, 96)
