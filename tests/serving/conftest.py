"""An engine with the shipped compact network, photos for it, and a registry of two versions."""

import io
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import PIL.Image
import pytest

from rayboot.data.images import decode_photo, encode_image
from rayboot.registry.model_names import BUILTIN_BASE, BUILTIN_COMPACT
from rayboot.registry.promotion import promote
from rayboot.registry.resolve import resolve_model
from rayboot.registry.runs import make_client
from rayboot.serving.engine import ReconstructionEngine
from rayboot.serving.model_choice import ModelChoice
from rayboot.serving.serve_config import ServeConfig

if TYPE_CHECKING:
    from rayboot.data.detector import FaceDetector

NAME = "rayboot-vrn"


@pytest.fixture(scope="session")
def portraits(synthetic_set: str) -> list[bytes]:
    """Photos of one synthetic face each."""
    return [path.read_bytes() for path in sorted(Path(synthetic_set).rglob("*.jpg"))[:6]]


@pytest.fixture(scope="session")
def portrait(portraits: list[bytes]) -> bytes:
    """The first of them."""
    return portraits[0]


@pytest.fixture(scope="session")
def pair(portraits: list[bytes]) -> bytes:
    """A photo of two synthetic faces, the left one larger."""
    left, right = (decode_photo(portrait) for portrait in portraits[:2])
    height, width = left.shape[:2]
    canvas = np.full((2 * height, 3 * width, 3), 128, np.uint8)
    large = np.asarray(PIL.Image.fromarray(left).resize((2 * width, 2 * height)))
    canvas[:, : 2 * width] = large
    canvas[:height, 2 * width :] = right
    return encode_image(canvas, "png")


@pytest.fixture(scope="session")
def landscape() -> bytes:
    """A photo without a face."""
    rows = np.linspace(90, 220, 200)[:, None, None] * np.ones((1, 300, 3))
    return encode_image(rows.astype(np.uint8), "jpeg")


@pytest.fixture(scope="session")
def wide_header() -> bytes:
    """A small file whose header announces 400 megapixels."""
    buffer = io.BytesIO()
    PIL.Image.new("1", (20_000, 20_000)).save(buffer, "png")
    return buffer.getvalue()


@pytest.fixture(scope="session")
def engine(detector: "FaceDetector") -> ReconstructionEngine:
    """The compact network, with the base network to compare with."""
    return ReconstructionEngine(
        ServeConfig(),
        ModelChoice(BUILTIN_COMPACT, NAME, "sqlite:///absent.db"),
        ModelChoice(BUILTIN_BASE, NAME, "sqlite:///absent.db"),
    )


@pytest.fixture
def registry(tmp_path: Path, create_mlflow_store: Callable[[Path], str]) -> str:
    """A registry with two versions of one model, the compact and the base network; version 1 is
    the champion."""
    uri = create_mlflow_store(tmp_path)
    client = make_client(uri)
    client.create_registered_model(NAME)
    for number, model in enumerate((BUILTIN_COMPACT, BUILTIN_BASE), 1):
        folder = tmp_path / f"version-{number}" / "artifacts"
        folder.mkdir(parents=True)
        shutil.copy(resolve_model(model).path, folder / "vrn.safetensors")
        client.create_model_version(NAME, str(folder.parent))
    promote(uri, NAME, "1", None)
    return uri
