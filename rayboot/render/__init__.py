"""Images of meshes through EGL, textures and backplanes; OpenGL is imported only here."""

from typing import TYPE_CHECKING

from rayboot.render.scene import Scene, TexturedMesh, TexturedSurface, textured_square

if TYPE_CHECKING:
    from rayboot.render.renderer import Renderer

__all__ = ["Renderer", "Scene", "TexturedMesh", "TexturedSurface", "textured_square"]


def __getattr__(name: str) -> object:
    # Importing OpenGL opens a display, which code that only reads a Scene does not need.
    if name == "Renderer":
        from rayboot.render.renderer import Renderer

        return Renderer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
