"""Pages that are one HTML file: what those of evaluations and of pairs data sets have in common.

A page needs no other file and no network. Its tables are sorted by a script of its own.
"""

from rayboot.pages.document import render_document

__all__ = ["render_document"]
