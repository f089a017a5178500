"""Settings of Sphinx for the site; ``python -m infra.docs`` builds it."""

import logging
from pathlib import Path

import rayboot

# Importing the renderer for its docstrings prints that an optional package is not there.
logging.getLogger("OpenGL.acceleratesupport").setLevel(logging.WARNING)

project = "rayboot"
author = "the authors of rayboot"
version = release = rayboot.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]

# Anchors of headings are those that repositories' web pages give them.
myst_heading_anchors = 4

# Types are in the docstrings, with shapes and units; signatures would repeat them.
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
