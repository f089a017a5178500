"""The page of the service: one HTML document with its styles and scripts."""

import json
from importlib import resources
from typing import NamedTuple

from rayboot.viewer import hash_script, read_viewer_script

__all__ = ["Page", "PageSettings", "build_page"]


class PageSettings(NamedTuple):
    """What the page must know of the service.

    Attributes:
        max_bytes: largest photo, bytes.
        requires_token: whether the page has to ask for a token.
    """

    max_bytes: int
    requires_token: bool


class Page(NamedTuple):
    """The page.

    Attributes:
        html: the document.
        policy: its content security policy, which allows its own scripts alone.
    """

    html: str
    policy: str


def build_page(settings: PageSettings) -> Page:
    """Puts the page together."""
    scripts = [
        f"const SETTINGS = {json.dumps(settings._asdict())};",
        read_viewer_script(),
        _read("page.js"),
    ]
    html = _read("page.html")
    for mark, text in (
        ("/*STYLES*/", _read("page.css")),
        ("<!--SCRIPTS-->", "".join(f"<script>{script}</script>\n" for script in scripts)),
    ):
        assert html.count(mark) == 1
        html = html.replace(mark, text)
    hashes = " ".join(f"'{hash_script(script)}'" for script in scripts)
    policy = (
        "default-src 'none'; connect-src 'self'; img-src 'self' data: blob:; "
        f"style-src 'unsafe-inline'; script-src {hashes}; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )
    return Page(html, policy)


def _read(name: str) -> str:
    return resources.files("rayboot.serving").joinpath(name).read_text("utf-8")
