"""Spellings of one place, on a disk and in stores."""

from pathlib import Path

import pytest

from rayboot.io.places import is_inside, is_same_place


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folders ``in`` and ``else/deep``, ``link`` to the first and ``in/away`` to the second."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    (tmp_path / "else/deep").mkdir(parents=True)
    (tmp_path / "link").symlink_to("in")
    (tmp_path / "in/away").symlink_to(tmp_path / "else/deep")
    return tmp_path


@pytest.mark.usefixtures("tree")
@pytest.mark.parametrize(
    ("uri", "other"),
    [
        ("in", "link"),
        ("in/away", "else/deep/"),
        ("in", "in/away/../../in"),
        ("s3://b/in/", "s3a://b/in"),
        ("simplecache::s3://b/in", "s3://b/in"),
    ],
)
def test_one_place(uri: str, other: str) -> None:
    assert is_same_place(uri, other)
    assert is_inside(uri, other) and is_inside(other, uri)


@pytest.mark.usefixtures("tree")
@pytest.mark.parametrize(
    ("uri", "folder"),
    [
        ("in/a/b", "in"),
        ("link/a", "in"),
        ("in/a", "link"),
        ("in/away/a", "in"),
        ("in/away/a", "else"),
        ("else/deep/a", "in/away"),
        ("s3://b/in/a", "s3://b"),
        ("a", "/"),
    ],
)
def test_one_in_the_other(uri: str, folder: str) -> None:
    assert is_inside(uri, folder) and not is_inside(folder, uri)
    assert not is_same_place(uri, folder)


@pytest.mark.usefixtures("tree")
@pytest.mark.parametrize(
    ("uri", "folder"),
    [
        ("in2", "in"),
        ("in/away/../a", "in"),
        ("s3://b/in2", "s3://b/in"),
        ("s3://c/in/a", "s3://b/in"),
        ("s3://b/in", "memory://b/in"),
        ("in", "s3://b/in"),
    ],
)
def test_places_apart(uri: str, folder: str) -> None:
    assert not is_inside(uri, folder) and not is_same_place(uri, folder)
