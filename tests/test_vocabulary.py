"""Names and messages use the field's terms: former private words do not come back.

Identifiers and module names are read from the syntax tree; phrases are sought in the text of
code, docs and configs. docs/how-it-works/architecture.md says which terms are used instead.
"""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

FORMER_MODULES = {
    "room", "carried", "lost", "patience", "few", "pictures", "gauges", "placing", "turn", "fill",
    "light", "sets", "served", "lock",
}  # fmt: skip
"""Names of modules that were replaced by the field's terms."""

FORMER_NAMES = {
    # Functions.
    "require_room", "blaming_cluster", "blaming_store", "patiently", "make_few", "beside_driver",
    "look_ahead", "held_back_by", "turn_volumes", "soften", "look_at", "looks_at", "drape_photo",
    "sift_views", "weigh_views", "place_truth", "hand_over", "complain", "show_fault",
    "describe_shapes", "_beat", "fill_from_around", "know_pictures", "thin_patch", "thin_videos",
    # Classes.
    "CarriedFile", "TurnFaces", "ReadPhotos", "ReconstructFaces", "Outlook", "Tally", "Reading",
    "Isolated", "Isolation", "KnownPictures", "Sight", "DrapedMesh", "FaceSet", "Seen", "Recorder",
    # Config keys and fields.
    "specks", "crop_again", "thinned", "render_on", "seconds_a_photo", "halve_every", "apart",
    "val_share", "source_share", "backplane_mode",
}  # fmt: skip
"""Identifiers that were replaced by the field's terms."""

ONE_MEANING = {
    "Measured": set(),
    "Figure": {"rayboot/evaluate/report/html_page.py"},
    "Run": {"rayboot/registry/runs.py"},
}
"""Classes that had two meanings, and the one module that may define each."""

FORMER_PHRASES = (
    "made faces",
    "made photos",
    "a store that is away",
    "that is away",
    "is told",
    "gives back",
    "given back",
    "is waited for",
    "Read are",
    "What a run leaves",
    "is of use",
    "touched no more",
    "without a word",
)
"""Phrases that a reader has to guess the meaning of."""

FRAGMENT = re.compile(r"(Of|That|The same|So far|Likewise)\b[^.]*\.?$|(Of|The same)\b")
"""Openings of docstrings that have no subject."""

ALLOWED = {
    "tests/test_vocabulary.py",
    "CHANGELOG.md",
}
"""Files that name the former words on purpose: this test, and the history of renames."""

COMPATIBILITY = re.compile(r'^\s*"(\w+)": FormerKey\(')
"""Lines that accept a former config key."""


def tracked(*patterns: str) -> list[Path]:
    command = ["git", "ls-files", "--", *patterns]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / name for name in names.splitlines() if not name.startswith("tests/compat")]


def identifiers(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and name of everything that a module defines, imports or refers to."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield node.lineno, node.name
            case ast.Name():
                yield node.lineno, node.id
            case ast.Attribute():
                yield node.lineno, node.attr
            case ast.arg() | ast.keyword() if node.arg is not None:
                yield node.lineno, node.arg
            case ast.alias():
                for part in (*node.name.split("."), *((node.asname,) if node.asname else ())):
                    yield node.lineno, part
            case ast.ImportFrom() if node.module is not None:
                for part in node.module.split("."):
                    yield node.lineno, part


def docstrings(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and text of docstrings, those of attributes included."""
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if not isinstance(body, list):
            continue
        for statement in body:
            match statement:
                case ast.Expr(value=ast.Constant(value=str(text))):
                    yield statement.lineno, text


def python_files() -> list[Path]:
    return [path for path in tracked("*.py") if str(path.relative_to(ROOT)) not in ALLOWED]


def test_no_former_name_is_used() -> None:
    found = []
    for path in python_files():
        relative = path.relative_to(ROOT)
        if path.stem in FORMER_MODULES | FORMER_NAMES:
            found.append(f"{relative}: the module's name")
        for line, name in identifiers(ast.parse(path.read_text("utf-8"))):
            if name in FORMER_NAMES:
                found.append(f"{relative}:{line}: {name}")
    assert not found, "former names:\n" + "\n".join(found)


def test_a_class_name_has_one_meaning() -> None:
    found = []
    for path in tracked("rayboot/*.py"):
        relative = str(path.relative_to(ROOT))
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ClassDef) and relative not in ONE_MEANING.get(
                node.name, {relative}
            ):
                found.append(f"{relative}:{node.lineno}: {node.name}")
    assert not found, "classes whose name has another meaning elsewhere:\n" + "\n".join(found)


def test_no_former_phrase_is_used() -> None:
    found = []
    files = tracked("*.py", "*.md", "*.yaml", "*.toml", "*.sh", "*.j2", "Makefile", ".ci/run")
    for path in files:
        relative = str(path.relative_to(ROOT))
        if relative in ALLOWED:
            continue
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
            phrases = [phrase for phrase in FORMER_PHRASES if phrase in line]
            found += [f"{relative}:{number}: {phrase!r}" for phrase in phrases]
    assert not found, "phrases to put plainly:\n" + "\n".join(found)


def test_docstrings_are_sentences() -> None:
    found = []
    for path in python_files():
        relative = path.relative_to(ROOT)
        for line, text in docstrings(ast.parse(path.read_text("utf-8"))):
            if FRAGMENT.match(text.strip()):
                found.append(f"{relative}:{line}: {text.strip().splitlines()[0]}")
    assert not found, f"{len(found)} docstrings without a subject:\n" + "\n".join(found)


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("from rayboot.render import drape_photo", "drape_photo"),
        ("import rayboot.Tally.x", "Tally"),
        ("def require_room(): ...", "require_room"),
        ("mesh.specks", "specks"),
        ("configure(render_on=1)", "render_on"),
    ],
)
def test_a_former_name_is_found(source: str, name: str) -> None:
    assert name in {found for _, found in identifiers(ast.parse(source))}


@pytest.mark.parametrize("text", ["Of the run.", "The same for rows.", "Of each photo, one."])
def test_a_fragment_is_found(text: str) -> None:
    assert FRAGMENT.match(text)


@pytest.mark.parametrize("text", ["Often read.", "Offset of a row.", "Number of rows."])
def test_a_sentence_is_let_through(text: str) -> None:
    assert not FRAGMENT.match(text)
