"""docs/guides/python.md and the README's lines for Python do what they say, block by block."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh

from rayboot.data.detector import FaceDetector
from rayboot.data.images import decode_photo, encode_image
from rayboot.errors import FaceRejectedError
from rayboot.pipeline.generate import generate
from rayboot.pipeline.generate_config import GenerateConfig
from rayboot.pipeline.generate_request import prepare_generate
from rayboot.pipeline.in_process_executor import InProcessExecutor

ROOT = Path(__file__).resolve().parents[2]
GUIDE = ROOT / "docs/guides/python.md"

pytestmark = pytest.mark.egl


def blocks_of(path: Path, *languages: str) -> list[tuple[str, str]]:
    """Returns language and text of each block of code."""
    found = re.findall(r"^```(\w+)\n(.*?)^```", path.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    return [(language, text) for language, text in found if language in languages]


@pytest.fixture(scope="module")
def folder(
    synthetic_set: str, detector: FaceDetector, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A folder with what the guide names: photos of synthetic people, and pairs of them."""
    folder = tmp_path_factory.mktemp("guide")
    photos = [
        decode_photo(path.read_bytes()) for path in sorted(Path(synthetic_set).rglob("*.jpg"))
    ]
    seen = [photo for photo in photos if _shows_a_face(detector, photo)][:2]
    (folder / "portrait.jpg").write_bytes(encode_image(seen[0], "jpeg"))
    (folder / "group.jpg").write_bytes(encode_image(np.concatenate(seen, axis=1), "jpeg"))
    (folder / "notes.txt").write_text("no photo")
    config = GenerateConfig(
        input=synthetic_set, output=str(folder / "pairs"), model="builtin:compact", val_fraction=0.3
    )
    generate(prepare_generate(config), InProcessExecutor())
    return folder


def _shows_a_face(detector: FaceDetector, photo: np.ndarray) -> bool:
    try:
        return len(detector.detect(photo)) == 1
    except FaceRejectedError:
        return False


def test_every_block_of_the_guide_runs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    names: dict[str, Any] = {}
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    blocks = blocks_of(GUIDE, "python", "sh")
    assert len(blocks) > 6
    for language, text in blocks:
        if language == "sh":
            assert text.startswith("rayboot ")
            command = [sys.executable, "-m", *text.split()]
            subprocess.run(command, cwd=folder, env=environment, check=True)
        else:
            exec(compile(text, str(GUIDE), "exec"), names)  # noqa: S102

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
        for _, text in blocks_of(ROOT / "README.md", "python"):
            exec(compile(text, "README.md", "exec"), {})  # noqa: S102
    finally:
        (folder / "photo.jpg").rename(folder / "portrait.jpg")
    assert (folder / "face.glb").read_bytes()[:4] == b"glTF"
