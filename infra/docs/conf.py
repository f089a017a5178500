"""Settings of Sphinx for the site; ``python -m infra.docs`` builds it."""

import logging
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.pycode import ModuleAnalyzer

import rayboot

# Importing the renderer for its docstrings prints that an optional package is not there.
logging.getLogger("OpenGL.acceleratesupport").setLevel(logging.WARNING)

project = "rayboot"
author = "the authors of rayboot"
version = release = rayboot.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]

# Anchors of headings are those that repositories' web pages give them.
myst_heading_anchors = 4

# What a type does not say, shapes and units, is in the docstrings.
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_member_order = "bysource"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 72
napoleon_numpy_docstring = False
napoleon_use_rtype = False
# Attributes are listed where the class describes them, and documented once.
napoleon_use_ivar = True
# The heading that rayboot's docstrings have beside those of Google's style.
napoleon_custom_sections = [("Source", "notes_style")]
add_module_names = False

html_theme = "furo"
html_title = f"rayboot {version}"
html_copy_source = False
html_show_sourcelink = False
html_static_path = [str(Path(__file__).parent / "static")]
html_css_files = ["rayboot.css"]
html_show_copyright = False
html_domain_indices = False

_analyze = ModuleAnalyzer.analyze


def _analyze_without_overloads(analyzer: ModuleAnalyzer) -> None:
    """Reads a module without overloads: they are for type checkers, readers need one signature."""
    _analyze(analyzer)
    analyzer.overloads = {}


def _without_any(
    _app: Sphinx,
    _what: str,
    _name: str,
    _obj: Any,
    _options: Any,
    arguments: str,
    returned: str | None,
) -> tuple[str, str | None]:
    """Leaves out a return type that says nothing, as that of an overloaded function."""
    return arguments, None if returned == "~typing.Any" else returned


def setup(app: Sphinx) -> None:
    """Changes what Sphinx writes as signatures."""
    ModuleAnalyzer.analyze = _analyze_without_overloads  # type: ignore[method-assign, assignment]
    app.connect("autodoc-process-signature", _without_any)
