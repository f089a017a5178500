"""The pages for those who have a photo: a mesh from a photo, and the HTTP API, block by block."""

import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
import trimesh

from rayboot.data.detector import FaceDetector
from rayboot.data.images import encode_image
from rayboot.registry.model_names import BUILTIN_COMPACT
from rayboot.serving.app import EngineBackend, make_app
from rayboot.serving.engine import ReconstructionEngine
from rayboot.serving.model_choice import ModelChoice
from rayboot.serving.serve_config import ServeConfig
from tests.docs_blocks import ROOT, find_blocks, run_blocks
from tests.http_thread import serving_app
from tests.integration.portraits import find_portraits


@pytest.fixture(scope="module")
def folder(
    synthetic_set: str, detector: FaceDetector, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A folder with what the pages name: a portrait, a group, and photos of a holiday."""
    folder = tmp_path_factory.mktemp("photos")
    left, right = find_portraits(synthetic_set, detector, 2)
    (folder / "portrait.jpg").write_bytes(encode_image(left, "jpeg"))
    (folder / "group.jpg").write_bytes(encode_image(np.concatenate([left, right], axis=1), "jpeg"))
    (folder / "holiday/beach").mkdir(parents=True)
    (folder / "holiday/beach/anna.jpg").write_bytes(encode_image(right, "jpeg"))
    sky = np.linspace(90, 220, 200)[:, None, None] * np.ones((1, 300, 3))
    (folder / "holiday/sky.jpg").write_bytes(encode_image(sky.astype(np.uint8), "jpeg"))
    return folder


def test_the_ways_from_a_photo_to_a_mesh(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = ROOT / "docs/guides/mesh-from-a-photo.md"
    blocks = [block for block in find_blocks(page) if block.reason is None]
    assert len(blocks) == 6
    # One repetition of the timing, not 20.
    run_blocks(blocks, folder, monkeypatch, replacements={"-n 20": "-n 1"}, in_process=True)
    for name in ("meshes/portrait.glb", "meshes/portrait.ply", "face.glb", "group/group-2.glb"):
        assert len(trimesh.load_mesh(folder / name).faces) > 5000
    rows = pyarrow.parquet.read_table(folder / "many/index.parquet").to_pylist()
    assert {row["face_id"]: row["reason"] or "" for row in rows} == {
        "group.jpg": "",
        "holiday/beach/anna.jpg": "",
        "holiday/sky.jpg": "no-face",
    }
    assert "holiday/sky.jpg no-face" in capsys.readouterr().out


@pytest.fixture
def address(detector: FaceDetector) -> Iterator[str]:
    """The service with the compact network, in a thread and without Ray."""
    choice = ModelChoice(BUILTIN_COMPACT, "rayboot-vrn", "sqlite:///absent.db")
    engine = ReconstructionEngine(ServeConfig(), choice, None)
    with serving_app(make_app(ServeConfig(), EngineBackend(engine))) as address:
        yield address


def test_meshes_are_requested_over_http(
    address: str,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    page = ROOT / "docs/guides/serving.md"
    blocks = [block for block in find_blocks(page) if block.reason is None]
    assert len(blocks) == 2
    (folder / "face.glb").unlink(missing_ok=True)
    run_blocks(blocks, folder, monkeypatch, replacements={"http://127.0.0.1:8000": address})
    assert len(trimesh.load_mesh(folder / "face.glb").faces) > 5000
    assert zipfile.ZipFile(folder / "faces.zip").namelist()[-1] == "face-2-texture.png"
    # First the answers of the commands, then what the Python block prints.
    assert capsys.readouterr().out.endswith("\nbuiltin:compact\n")

    (folder / "portrait.jpg").rename(folder / "face.jpg")
    (folder / "holiday/sky.jpg").rename(folder / "portrait.jpg")
    try:
        run_blocks(
            [block for block in blocks if block.language == "python"],
            folder,
            monkeypatch,
            replacements={"http://127.0.0.1:8000": address},
        )
    finally:
        (folder / "portrait.jpg").rename(folder / "holiday/sky.jpg")
        (folder / "face.jpg").rename(folder / "portrait.jpg")
    assert "no face was found in the photo" in capsys.readouterr().out
