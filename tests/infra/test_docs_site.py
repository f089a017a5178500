"""The site: builds without a warning, is complete, works offline, and its reference is current."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urldefrag, urlsplit

import click
import pytest

from infra.docs.links import find_fences, rewrite_links
from infra.docs.navigation import read_navigation
from infra.docs.notebook_pages import make_notebook_page
from infra.docs.reference import PAGES
from rayboot.cli import main
from tests.page_requests import requested_urls

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built by the command that `make docs` runs."""
    import subprocess
    import sys

    folder = tmp_path_factory.mktemp("docs") / "site"
    done = subprocess.run(
        [sys.executable, "-m", "infra.docs", str(folder)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


class _References(HTMLParser):
    """Collects links, what the browser loads by itself, and the targets of anchors."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.anchors: set[str] = set()
        self.feed(page.read_text("utf-8"))

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attributes}
        self.anchors |= {values[name] for name in ("id", "name") if name in values}
        if tag == "a" or (
            tag == "link"
            and values.get("rel")
            in (
                "index",
                "search",
                "next",
                "prev",
                "canonical",
            )
        ):
            self.links.append(values.get("href", ""))
        else:
            self.loaded += [values[name] for name in ("src", "href", "data") if name in values]


def pages_of(site: Path) -> dict[Path, _References]:
    return {path: _References(path) for path in sorted(site.rglob("*.html"))}


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    pages = pages_of(site)
    loaded = {address for page in pages.values() for address in page.loaded}
    assert len(loaded) > 10
    assert sorted(a for a in loaded if re.match("(https?:)?//", a)) == []
    for style in site.rglob("*.css"):
        found = re.findall(r"(?:url\(|@import)[\s'\"]*(https?:)?//", style.read_text("utf-8"))
        assert found == [], style.name


def test_every_page_can_be_reached_and_every_link_leads_somewhere(site: Path) -> None:
    pages = pages_of(site)
    reached, todo = set(), [site / "index.html"]
    while todo:
        page = todo.pop()
        if page in reached:
            continue
        reached.add(page)
        for link in pages[page].links:
            address, anchor = urldefrag(link)
            if urlsplit(address).scheme or (not address and not anchor):
                continue
            target = (page.parent / address).resolve() if address else page
            assert target.exists(), f"{page.relative_to(site)}: {link}"
            if target.suffix == ".html":
                if anchor:
                    assert anchor in pages[target].anchors, f"{page.relative_to(site)}: {link}"
                todo.append(target)
    assert sorted(str(page.relative_to(site)) for page in set(pages) - reached) == []
    names = {page.name for section in read_navigation() for page in section.pages}
    assert {site / f"{name}.html" for name in names} <= reached


def test_the_search_finds_words_of_pages_and_names_of_the_code(site: Path) -> None:
    index = (site / "searchindex.js").read_text("utf-8")
    content: Any = json.loads(index.removeprefix("Search.setIndex(").removesuffix(")"))
    names = content["docnames"]

    def find(word: str) -> set[str]:
        pages = set()
        for kind in ("terms", "titleterms"):
            found = content[kind].get(word, [])
            pages |= {names[number] for number in ([found] if isinstance(found, int) else found)}
        return pages

    assert "how-it-works/pose" in find("pose")
    assert {"notebooks/photo-to-mesh", "notebooks/round-step-by-step"} & find("notebook")
    assert "PairsDataset" in json.dumps(content["objnames"]) + json.dumps(content["objects"])
    assert not [name for name in find("pose") if name.startswith("files/")]


def test_the_search_works_in_a_browser_without_a_server(site: Path, browser: Any) -> None:
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.wait import WebDriverWait

    browser.get((site / "search.html").as_uri() + "?q=isovalue")
    results = WebDriverWait(browser, 30).until(
        lambda driver: driver.find_elements(By.CSS_SELECTOR, "#search-results li a")
    )
    assert any("config.html" in result.get_attribute("href") for result in results)
    addresses = requested_urls(browser)
    assert [address for address in addresses if address.startswith("http")] == []


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_the_reference_in_the_clone_is_current(path: Path) -> None:
    assert path.read_text("utf-8") == PAGES[path](), "run `make reference`"


def test_the_reference_has_every_option_of_every_command() -> None:
    text = (ROOT / "docs/reference/cli.md").read_text("utf-8")
    sections = dict(re.findall(r"^## ([a-z -]+)\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE))
    context = click.Context(main)
    for name in main.list_commands(context):
        command = main.get_command(context, name)
        assert command is not None
        for option in command.params:
            if isinstance(option, click.Option):
                assert all(f"`{flag}" in sections[name] for flag in option.opts), option.opts
    assert "| `--port N` | the config's, else 8000 |" in sections["serve"]
    assert "| `--faces [largest\\|all]` | `largest` |" in sections["reconstruct"]


def test_the_python_page_has_every_public_name(site: Path) -> None:
    import rayboot
    import rayboot.data
    import rayboot.geometry

    page = (site / "reference/python.html").read_text("utf-8")
    for module in (rayboot, rayboot.data, rayboot.geometry):
        for name in set(module.__all__) - {"__version__"}:
            home = "rayboot.errors" if name.endswith("Error") else module.__name__
            assert f'id="{home}.{name}"' in page, name


def test_links_are_rewritten_outside_of_code_alone() -> None:
    text = (
        "[a](../b.md#c) and `[x](../b.md)`, [`code`](d.py), [web](https://x.org/y.md), [h](#h)\n"
        "```md\n[a](../b.md)\n```\n[e](../b.md)\n"
    )
    places = {Path("docs/b.md"): "b.md", Path("docs/g/d.py"): "files/docs/g/d.py.md"}
    rewritten = rewrite_links(text, Path("docs/g/a.md"), "g/a", lambda path: places[path])
    assert rewritten == (
        "[a](../b.md#c) and `[x](../b.md)`, [`code`](../files/docs/g/d.py.md), "
        "[web](https://x.org/y.md), [h](#h)\n```md\n[a](../b.md)\n```\n[e](../b.md)\n"
    )
    assert list(find_fences(text)) == [("md", "[a](../b.md)\n", 2)]


def test_a_notebook_that_failed_is_refused(tmp_path: Path) -> None:
    output = {"output_type": "error", "ename": "ValueError", "evalue": "", "traceback": []}
    cell = {"cell_type": "code", "source": ["1 / 0"], "outputs": [output]}
    notebook = tmp_path / "a.ipynb"
    notebook.write_text(json.dumps({"cells": [cell]}))
    with pytest.raises(ValueError, match="a-0-0: the notebook ended with ValueError"):
        make_notebook_page(notebook, tmp_path)
