"""docs/guides/python.md and the README's lines for Python do what they say, block by block."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh

from rayboot.data.detector import FaceDetector
from rayboot.data.images import encode_image
from rayboot.pipeline.generate import generate
from rayboot.pipeline.generate_config import GenerateConfig
from rayboot.pipeline.generate_request import prepare_generate
from rayboot.pipeline.in_process_executor import InProcessExecutor
from tests.docs_blocks import ROOT, find_blocks, run_blocks
from tests.integration.portraits import find_portraits

GUIDE = ROOT / "docs/guides/python.md"

pytestmark = pytest.mark.egl


@pytest.fixture(scope="module")
def folder(
    synthetic_set: str, detector: FaceDetector, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A folder with what the guide names: photos of synthetic people, and pairs of them."""
    folder = tmp_path_factory.mktemp("guide")
    seen = find_portraits(synthetic_set, detector, 2)
    (folder / "portrait.jpg").write_bytes(encode_image(seen[0], "jpeg"))
    (folder / "group.jpg").write_bytes(encode_image(np.concatenate(seen, axis=1), "jpeg"))
    (folder / "notes.txt").write_text("no photo")
    config = GenerateConfig(
        input=synthetic_set, output=str(folder / "pairs"), model="builtin:compact", val_fraction=0.3
    )
    generate(prepare_generate(config), InProcessExecutor())
    return folder


def test_every_block_of_the_guide_runs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = [block for block in find_blocks(GUIDE) if block.reason is None]
    assert len(blocks) > 6
    names = run_blocks(blocks, folder, monkeypatch, in_process=True)

    shape: Any = trimesh.load_mesh(folder / "face.glb")
    assert len(shape.faces) > 5000
    assert {path.name for path in folder.glob("*.jpg.glb")} == {"portrait.jpg.glb", "group.jpg.glb"}
    assert len(names["everyone"]) == 2
    assert names["same"].volume.shape == names["face"].volume.shape
    assert names["sample"]["target"].any() and len(names["views"]) > 0


def test_the_lines_of_the_readme_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    for name in ("face.glb", "photo.jpg"):
        (folder / name).unlink(missing_ok=True)
    (folder / "portrait.jpg").rename(folder / "photo.jpg")
    try:
        run_blocks(
            [b for b in find_blocks(ROOT / "README.md") if b.language == "python"],
            folder,
            monkeypatch,
        )
    finally:
        (folder / "photo.jpg").rename(folder / "portrait.jpg")
    assert (folder / "face.glb").read_bytes()[:4] == b"glTF"
