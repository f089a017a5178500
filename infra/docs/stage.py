"""The sources of the site: pages of the repository, with links as the site needs them.

Pages keep the names that they have below ``docs/``, and files elsewhere that the navigation lists
become pages of ``project/``. Every other file that a page links to gets a page with its text below
``files/``, which the navigation does not show and the search does not find.
"""

import shutil
from pathlib import Path

from infra.docs.links import rewrite_links
from infra.docs.navigation import Page, Section, read_navigation
from infra.docs.notebook_pages import make_notebook_page

__all__ = ["ROOT", "stage_sources"]

ROOT = Path(__file__).resolve().parents[2]

_LANGUAGES = {
    **{".py": "python", ".yaml": "yaml", ".yml": "yaml", ".toml": "toml", ".sh": "bash"},
    **{".json": "json", ".js": "javascript", ".cff": "yaml", ".html": "html"},
}
_MEDIA = {".png", ".jpg", ".svg"}


def stage_sources(folder: Path) -> None:
    """Writes the sources of all pages into a new folder.

    Raises:
        FileNotFoundError: pages link to files that do not exist; all of them are named.
    """
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(ROOT / "docs/images", folder / "images")
    _Stage(folder, read_navigation()).write()


class _Stage:
    """The pages of a site in the making."""

    def __init__(self, folder: Path, sections: list[Section]) -> None:
        self._folder, self._sections = folder, sections
        listed = [page for section in sections for page in section.pages]
        # Also those that the navigation lacks, which the build then refuses by name.
        found = [*ROOT.glob("docs/**/*.md"), *ROOT.glob("docs/**/*.ipynb")]
        files = sorted(path.relative_to(ROOT) for path in found if ".ipynb_" not in str(path))
        names = {path: str(path.relative_to("docs").with_suffix("")) for path in files}
        self._pages = {path: Page(path, "", name) for path, name in names.items()}
        self._pages |= {page.file: page for page in listed}
        self._missing: list[str] = []
        self._shown: dict[Path, str] = {}

    def write(self) -> None:
        for page in self._pages.values():
            if (ROOT / page.file).exists():
                self._write_page(page)
        for path, name in self._shown.items():
            self._write(name, _show_file(path))
        if self._missing:
            raise FileNotFoundError(
                "links to files that do not exist:\n" + "\n".join(self._missing)
            )

    def _write_page(self, page: Page) -> None:
        target = self._folder / page.name
        if page.file.suffix == ".ipynb":
            text = make_notebook_page(ROOT / page.file, target.parent)
        else:
            text = (ROOT / page.file).read_text("utf-8")

        def locate(path: Path) -> str:
            return self._locate(path, page)

        text = rewrite_links(text, page.file, page.name, locate)
        self._write(page.name, text + (self._make_toctrees() if page.name == "index" else ""))

    def _write(self, name: str, text: str) -> None:
        path = self._folder / f"{name}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")

    def _locate(self, path: Path, page: Page) -> str:
        if path.suffix in _MEDIA and path.is_relative_to("docs"):
            # A picture of the docs, or one that a notebook's page has written.
            name = path.relative_to("docs")
            if (self._folder / name).exists():
                return str(name)
        if not (ROOT / path).exists():
            self._missing.append(f"{page.file}: {path}")
            return str(path)
        if (ROOT / path).is_dir():
            # As on the pages of a repository, a folder shows its README.
            readme = path / "README.md"
            path = readme if (ROOT / readme).exists() else path
        if path in self._pages:
            return f"{self._pages[path].name}.md"
        return f"{self._shown.setdefault(path, f'files/{path}')}.md"

    def _make_toctrees(self) -> str:
        parts = []
        for section in self._sections:
            lines = [f"{page.title} <{page.name}>" for page in section.pages]
            options = [":hidden:", *([f":caption: {section.title}"] if section.title else [])]
            parts.append("\n".join(["", "```{toctree}", *options, "", *lines, "```", ""]))
        return "".join(parts)


def _show_file(path: Path) -> str:
    """Returns the page of a file that is no page itself: its text; or what a folder contains."""
    header = f"---\norphan: true\nnosearch: true\n---\n\n# {path}\n\n"
    if (ROOT / path).is_dir():
        names = sorted(
            f"{entry.name}{'/' * entry.is_dir()}"
            for entry in (ROOT / path).iterdir()
            if not entry.name.startswith((".", "__"))
        )
        return header + "\n".join(f"- `{name}`" for name in names) + "\n"
    language = _LANGUAGES.get(path.suffix, "text")
    text = (ROOT / path).read_text("utf-8").rstrip()
    # Longer than any fence in the file.
    fence = "`" * 10
    return f"{header}{fence}{language}\n{text}\n{fence}\n"
