"""The worked changes of docs/how-it-works/architecture.md, made as the page describes them."""

import json
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rayboot.data import readers
from rayboot.data.landmarks import read_landmarks
from rayboot.data.readers import list_photos
from rayboot.errors import FaceRejectedError
from rayboot.render import surroundings
from rayboot.render.scene import TexturedSurface
from tests.data.readers.layouts import fetch_photos
from tests.docs_blocks import ROOT, Block, find_blocks
from tests.render.solids import SIZE, frontal_pose, smooth_photo

PAGE = ROOT / "docs/how-it-works/architecture.md"
BLOCKS = [block for block in find_blocks(PAGE) if block.reason is None]
POINTS = np.arange(136, dtype=float).reshape(68, 2)


def find_block(text: str) -> Block:
    (block,) = (block for block in BLOCKS if text in block.text)
    return block


def test_no_block_is_left_out() -> None:
    assert {find_block("class LandmarkJson"), find_block('case "grey"')} == set(BLOCKS)


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The reader of the page, registered before the others."""
    block = find_block("class LandmarkJson")
    names: dict[str, Any] = {"__name__": "landmark_json"}
    exec(compile(block.text, block.place, "exec"), names)  # noqa: S102
    monkeypatch.setattr(readers, "READERS", (names["LandmarkJson"], *readers.READERS))
    return names["LandmarkJson"]


@pytest.mark.usefixtures("reader")
def test_the_reader_of_the_page_lists_and_fetches(tmp_path: Path) -> None:
    for name in ("a.jpg", "sub/b.jpg", "c.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    landmarks = {"a.jpg": POINTS.tolist(), "sub/b.jpg": (2 * POINTS).tolist()}
    (tmp_path / "landmarks.json").write_text(json.dumps(landmarks))

    table = list_photos(str(tmp_path))
    assert table["face_id"].to_pylist() == ["a.jpg", "c.jpg", "sub/b.jpg"]
    photos = fetch_photos(str(tmp_path))
    assert photos["c.jpg"].landmarks is None
    for name, points in (("a.jpg", POINTS), ("sub/b.jpg", 2 * POINTS)):
        photo = photos[name]
        assert photo.photo == name.encode() and photo.landmarks is not None
        read = read_landmarks(photo.landmarks, photo.landmarks_suffix, (500, 500))
        assert np.array_equal(read, points)


@pytest.mark.usefixtures("reader")
def test_a_photo_that_is_gone_is_a_reject_of_that_reader(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"a")
    (tmp_path / "landmarks.json").write_text(json.dumps({"a.jpg": POINTS.tolist()}))
    rows = list_photos(str(tmp_path)).to_pylist()
    (tmp_path / "a.jpg").unlink()
    (first, *_) = readers.create_readers()
    (rejected,) = first.fetch(rows, 1)
    assert isinstance(rejected, FaceRejectedError) and rejected.reason == "missing"


def test_the_case_of_a_render_mode_returns_a_grey_plane() -> None:
    block = find_block('case "grey"')
    source = "def build(mode, photo, depth, pose):\n    match mode:\n"
    names = dict(vars(surroundings))
    source += textwrap.indent(block.text, " " * 8)
    exec(compile(source, block.place, "exec"), names)  # noqa: S102
    (plane,) = names["build"]("grey", smooth_photo(), -5.0, frontal_pose())
    assert isinstance(plane, TexturedSurface)
    assert (plane.image == 128).all() and plane.image.shape == (SIZE, SIZE, 3)
    assert np.allclose(plane.vertices[:, 2], -5)
