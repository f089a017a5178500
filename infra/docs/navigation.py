"""The site's navigation, which ``navigation.toml`` defines."""

import tomllib
from pathlib import Path
from typing import NamedTuple

__all__ = ["Page", "Section", "read_navigation"]


class Page(NamedTuple):
    """A page of the site.

    Attributes:
        file: its file, relative to the repository.
        title: what the navigation calls it.
        name: its name on the site, without a suffix: the path below ``docs/``, or ``project/...``
            for files elsewhere.
    """

    file: Path
    title: str
    name: str


class Section(NamedTuple):
    """Pages under one caption, which may be empty."""

    title: str
    pages: tuple[Page, ...]


def read_navigation() -> list[Section]:
    """Reads ``navigation.toml`` in the folder of this module."""
    content = tomllib.loads(Path(__file__).with_name("navigation.toml").read_text("utf-8"))
    return [
        Section(section.get("title", ""), tuple(_make_page(*page) for page in section["pages"]))
        for section in content["section"]
    ]


def _make_page(file: str, title: str) -> Page:
    if not file.startswith("../"):
        return Page(Path("docs", file), title, str(Path(file).with_suffix("")))
    path = Path(file.removeprefix("../"))
    name = "-".join(path.with_suffix("").parts).lower()
    return Page(path, title, f"project/{name}")
