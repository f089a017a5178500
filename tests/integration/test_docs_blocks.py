"""Blocks of code in the docs: each runs in a test, or says why it cannot; commands are valid."""

import re
import shlex
from pathlib import Path

import click
import pytest

from rayboot.cli import main
from rayboot.data.detector import FaceDetector
from rayboot.data.images import decode_photo
from rayboot.errors import FaceRejectedError
from tests.docs_blocks import ROOT, Block, find_blocks, run_blocks

RUN_BY = {
    "docs/get-started.md": "integration/test_docs_blocks",
    "docs/guides/own-network.md": "integration/test_own_network_guide",
    "docs/guides/python.md": "integration/test_python_guide",
}
"""Pages whose blocks a test runs, and that test."""

GENERATED = {"docs/reference/cli.md"}
"""Pages whose blocks are examples that tests/cli/test_help.py parses where they are written."""

NOT_YET_MARKED = {
    "docs/guides/mesh-from-a-photo.md",
    "docs/guides/pairs-at-scale.md",
    "docs/guides/registry.md",
    "docs/guides/serving.md",
    "docs/how-it-works/architecture.md",
    "docs/operations/failures.md",
    "docs/operations/logs.md",
}
"""Pages with blocks that neither run nor have a reason; a page that has none leaves this list."""

PAGES = [*sorted((ROOT / "docs").rglob("*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
BLOCKS = [block for page in PAGES for block in find_blocks(page)]


def test_every_block_runs_or_says_why_not() -> None:
    assert len(BLOCKS) > 40
    unmarked = {b.page: b.place for b in BLOCKS if b.reason is None and b.page.startswith("docs/")}
    missing = set(unmarked) - set(RUN_BY) - GENERATED - NOT_YET_MARKED
    assert not missing, (
        f"{[unmarked[page] for page in sorted(missing)]}: run the page in a test and name it in "
        "RUN_BY, or write <!-- not run: REASON --> before the block"
    )
    assert set(unmarked) >= NOT_YET_MARKED, "pages without such blocks leave the list"
    for page, test in RUN_BY.items():
        assert page in unmarked and (ROOT / "tests" / f"{test}.py").exists()


def commands_of(block: Block) -> list[list[str]]:
    """The calls of rayboot in a block of shell, as words; what the shell replaces is one word."""
    text = re.sub(r"\\\n", " ", block.text)
    text = re.sub(r"\$\([^()]*\)", "X", text)
    found = []
    for line in text.splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        words = list(lexer)
        for start, word in enumerate(words):
            before = words[start - 1] if start else "&&"
            is_first = re.fullmatch(r"&&|\|\|?|;|\(|time|sudo|exec|[A-Z_]+=.*", before)
            if re.fullmatch(r"(.*/bin/)?rayboot", word) and is_first:
                end = next(
                    (i for i in range(start, len(words)) if re.fullmatch(r"[|&;<>()]+", words[i])),
                    len(words),
                )
                arguments = words[start + 1 : end]
                # In `2> log`, the number belongs to the sign.
                if end < len(words) and words[end].startswith(">") and arguments[-1] == "2":
                    arguments.pop()
                found.append(arguments)
    return found


SHELL = [block for block in BLOCKS if block.language != "python" and commands_of(block)]


@pytest.mark.parametrize("block", SHELL, ids=lambda block: block.place)
def test_every_command_is_one_that_the_program_accepts(block: Block) -> None:
    for arguments in commands_of(block):
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
    block = Block("docs/a.md", 1, "sh", line, None)
    with pytest.raises(click.UsageError, match=r"No such (command|option)"):
        _parse(commands_of(block)[0])


@pytest.mark.egl
def test_the_first_steps_work(
    synthetic_set: str, detector: FaceDetector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in sorted(Path(synthetic_set).rglob("*.jpg")):
        try:
            detector.detect(decode_photo(path.read_bytes()))
        except FaceRejectedError:
            continue
        (tmp_path / "photo.jpg").write_bytes(path.read_bytes())
        break
    blocks = [b for b in find_blocks(ROOT / "docs/get-started.md") if b.reason is None]
    names = run_blocks(blocks, tmp_path, monkeypatch)
    assert {"photo.glb", "photo.ply", "index.parquet"} <= {
        p.name for p in tmp_path.glob("meshes/*")
    }
    assert names["face"].volume.ndim == 3
    assert (tmp_path / "face.glb").read_bytes()[:4] == b"glTF"
