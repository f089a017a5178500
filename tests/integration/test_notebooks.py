"""The notebooks of the docs: they run from the first cell to the last, and hold their outputs."""

import json
from pathlib import Path
from typing import Any

import pytest

from infra.docs.notebooks import FOLDER, execute

NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
QUICK = ("photo-to-mesh",)
"""Notebooks that take seconds; a round takes minutes."""
MAX_BYTES = 1_500_000
"""Size of all notebooks together, most of which are pictures."""


def outputs_of(notebook: Any) -> list[Any]:
    return [output for cell in notebook["cells"] for output in cell.get("outputs", [])]


def text_of(notebook: Any) -> str:
    return "".join("".join(o["text"]) for o in outputs_of(notebook) if o["output_type"] == "stream")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_stored_outputs_are_of_one_run(path: Path) -> None:
    content = json.loads(path.read_text("utf-8"))
    cells = [cell for cell in content["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    kinds = {kind for output in outputs_of(content) for kind in output.get("data", {})}
    assert "image/png" in kinds
    assert all(output["output_type"] != "error" for output in outputs_of(content))
    text = text_of(content)
    assert "/tmp/" not in text and "Warning" not in text


def test_they_are_small() -> None:
    assert len(NOTEBOOKS) == 2
    assert sum(path.stat().st_size for path in NOTEBOOKS) < MAX_BYTES


@pytest.mark.egl
# A kernel is another process, whose sockets its client leaves to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, id=path.stem, marks=[pytest.mark.slow] * (path.stem not in QUICK))
        for path in NOTEBOOKS
    ],
)
def test_every_cell_runs(path: Path, tmp_path: Path) -> None:
    before = json.loads(path.read_text("utf-8"))
    after = execute(path, tmp_path)
    # What the pages show is what a run prints today, but for numbers.
    assert len(outputs_of(after)) == len(outputs_of(before))
    for old, new in zip(outputs_of(before), outputs_of(after), strict=True):
        assert set(old.get("data", {})) == set(new.get("data", {}))
    if path.stem == "photo-to-mesh":
        assert "closed: True" in text_of(after)
    else:
        assert "bootstrapped" in text_of(after)
        assert (tmp_path / "evaluation/report.html").exists()
