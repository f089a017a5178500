"""Meshes and views to images through EGL; only here is OpenGL imported."""

from typing import TYPE_CHECKING

from rayboot.render.scene import Backplane, Scene, TexturedMesh

if TYPE_CHECKING:
    from rayboot.render.renderer import Renderer

__all__ = ["Backplane", "Renderer", "Scene", "TexturedMesh"]


def __getattr__(name: str) -> object:
    # OpenGL opens a display when it is imported; reading a Scene needs none.
    if name == "Renderer":
        from rayboot.render.renderer import Renderer

        return Renderer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
