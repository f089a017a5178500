import io
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh

from rayboot.data.images import decode_photo
from rayboot.errors import FaceRejectedError, RequestError, ShapeError
from rayboot.inference.face_reconstructor import FaceReconstructor
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


def test_input_is_checked(reconstructor: FaceReconstructor) -> None:
    with pytest.raises(RequestError, match="one of occupancy, glb, ply, got 'obj'"):
        reconstructor.reconstruct(np.zeros((1, 96, 96, 3), np.uint8), "obj")
    with pytest.raises(ShapeError, match=r"uint8 RGB \(B, H, W, 3\), got float32"):
        reconstructor.reconstruct(np.zeros((1, 96, 96, 3), np.float32))
    assert reconstructor.reconstruct(np.zeros((0, 96, 96, 3), np.uint8)).shape == (0, 112, 96, 96)
