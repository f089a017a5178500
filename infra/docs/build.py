"""The build of the site, in which every warning is an error."""

import shutil
from pathlib import Path

from sphinx.cmd.build import build_main

from infra.docs.stage import stage_sources

__all__ = ["build_site"]


def build_site(folder: Path) -> int:
    """Builds the site into a new folder; the sources and Sphinx's files are beside it.

    Broken links and anchors, and pages that the navigation lacks or that do not exist, are errors.

    Args:
        folder: folder of the HTML files.

    Returns:
        Exit status of Sphinx: 0 when there was no warning.
    """
    sources = folder.with_name(f"{folder.name}-sources")
    stage_sources(sources)
    shutil.rmtree(folder, ignore_errors=True)
    state = folder.with_name(f"{folder.name}-state")
    settings = Path(__file__).parent
    options = ["-q", "-E", "--fail-on-warning", "--keep-going"]
    places = ["-c", str(settings), "-d", str(state), str(sources), str(folder)]
    return build_main(["-b", "html", *options, *places])
