"""Blocks of code in the docs: each runs in a test, or says why it cannot; commands are valid."""

import re
from pathlib import Path

import click
import pytest

from rayboot.cli import main
from rayboot.data.detector import FaceDetector
from rayboot.data.images import encode_image
from tests.docs_blocks import ROOT, Block, commands_of, find_blocks, run_blocks
from tests.integration.portraits import find_portraits

RUN_BY = {
    "docs/get-started.md": "integration/test_docs_blocks",
    "docs/guides/mesh-from-a-photo.md": "integration/test_photo_guides",
    "docs/guides/own-network.md": "integration/test_own_network_guide",
    "docs/guides/pairs-at-scale.md": "integration/test_run_pages",
    "docs/guides/python.md": "integration/test_python_guide",
    "docs/guides/registry.md": "integration/test_registry_guide",
    "docs/guides/serving.md": "integration/test_photo_guides",
    "docs/how-it-works/architecture.md": "integration/test_worked_changes",
    "docs/operations/failures.md": "integration/test_run_pages",
    "docs/operations/logs.md": "integration/test_run_pages",
}
"""Pages whose blocks a test runs, and that test."""

GENERATED = {"docs/reference/cli.md"}
"""Pages whose blocks are examples that tests/cli/test_help.py parses where they are written."""

PAGES = [*sorted((ROOT / "docs").rglob("*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
BLOCKS = [block for page in PAGES for block in find_blocks(page)]


def test_every_block_runs_or_says_why_not() -> None:
    assert len(BLOCKS) > 40
    unmarked = {b.page: b.place for b in BLOCKS if b.reason is None and b.page.startswith("docs/")}
    missing = set(unmarked) - set(RUN_BY) - GENERATED
    assert not missing, (
        f"{[unmarked[page] for page in sorted(missing)]}: run the page in a test and name it in "
        "RUN_BY, or write <!-- not run: REASON --> before the block"
    )
    for page, test in RUN_BY.items():
        assert page in unmarked and (ROOT / "tests" / f"{test}.py").exists()


SHELL = [block for block in BLOCKS if block.language != "python" and commands_of(block.text)]


@pytest.mark.parametrize("block", SHELL, ids=lambda block: block.place)
def test_every_command_is_one_that_the_program_accepts(block: Block) -> None:
    for arguments in commands_of(block.text):
        if arguments and arguments[-1] in ("--help", "--version"):
            arguments = arguments[:-1]
            if not arguments:
                continue
        _parse([_stand_in(*pair) for pair in zip(["", *arguments], arguments, strict=False)])


def _stand_in(option: str, value: str) -> str:
    """A word of a command; for the config of a reader, one that exists."""
    if option == "--config" and not re.match(r"configs/|[a-z0-9-]+\Z", value):
        return "round-photos"
    return str(ROOT / value) if option == "--config" and value.startswith("configs/") else value


def _parse(arguments: list[str]) -> None:
    """Parses a command line as the program does, and runs nothing."""
    context = main.make_context("rayboot", list(arguments))
    command: click.Command = main
    while isinstance(command, click.Group):
        rest = [*context._protected_args, *context.args]
        name, inner, rest = command.resolve_command(context, rest)
        assert name is not None and inner is not None
        context = inner.make_context(name, rest, parent=context)
        command = inner


@pytest.mark.parametrize("line", ["rayboot generat", "A=b rayboot generate --inptu x | cat"])
def test_a_command_that_does_not_exist_is_found(line: str) -> None:
    with pytest.raises(click.UsageError, match=r"No such (command|option)"):
        _parse(commands_of(line)[0])


@pytest.mark.egl
def test_the_first_steps_work(
    synthetic_set: str, detector: FaceDetector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (photo,) = find_portraits(synthetic_set, detector, 1)
    (tmp_path / "photo.jpg").write_bytes(encode_image(photo, "jpeg"))
    blocks = [b for b in find_blocks(ROOT / "docs/get-started.md") if b.reason is None]
    names = run_blocks(blocks, tmp_path, monkeypatch, in_process=True)
    assert {"photo.glb", "photo.ply", "index.parquet"} <= {
        p.name for p in tmp_path.glob("meshes/*")
    }
    assert names["face"].volume.ndim == 3
    assert (tmp_path / "face.glb").read_bytes()[:4] == b"glTF"
