"""The interactive 3D viewer of pages, in JavaScript without a library."""

from importlib import resources

__all__ = ["read_viewer_script"]


def read_viewer_script() -> str:
    """Returns the script that defines ``MeshViewer``, for a page to embed."""
    return resources.files("rayboot.viewer").joinpath("viewer.js").read_text("utf-8")
