"""Rendering of a page from a template that extends ``document.html.j2``.

Names on a page come from files and configs that are not trusted. Jinja escapes them, in JSON as
well, and the page's content security policy allows no scripts but its own.
"""

import base64
import math
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

import jinja2

from rayboot.viewer import hash_script

__all__ = ["render_document"]

_LAYOUT = "document.html.j2"


def render_document(
    template: str, values: Mapping[str, Any], styles: str, scripts: Sequence[str] = ()
) -> str:
    """Returns a page, with its images, styles and scripts embedded.

    Args:
        template: a Jinja template that extends ``document.html.j2`` with the blocks ``links``, the
            entries of the navigation, and ``sections``, the content. Besides those of Jinja it has
            the filters ``number`` (two decimals), ``signed`` and ``data_uri`` (of an image's
            bytes).
        values: values of the template, ``title`` and ``summary`` among them.
        styles: CSS of the page, after that of all pages.
        scripts: scripts of the page, after the one that sorts tables of the class ``sortable``.
    """
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        loader=jinja2.DictLoader({_LAYOUT: _read(_LAYOUT)}),
    )
    environment.filters |= {
        "number": lambda value: f"{value:.2f}" if math.isfinite(value) else "–",
        "signed": _format_signed,
        "data_uri": _data_uri,
    }
    all_scripts = [_read("sort_tables.js"), *scripts]
    return environment.from_string(template).render(
        values,
        styles=_read("document.css") + styles,
        scripts=all_scripts,
        script_hashes=[hash_script(script) for script in all_scripts],
    )


def _read(name: str) -> str:
    return resources.files("rayboot.pages").joinpath(name).read_text("utf-8")


def _format_signed(value: float, digits: int = 1) -> str:
    """Formats a number with its sign, as a real minus; a number that is not finite is a dash."""
    if not math.isfinite(value):
        return "–"
    text = f"{value:+.{digits}f}"
    return text.replace("-", "−") if float(text) else text[1:]


def _data_uri(image: bytes) -> str:
    kind = "png" if image.startswith(b"\x89PNG") else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(image).decode()}"
