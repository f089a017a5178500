"""Triangle meshes, with vertex colours where they are known, and parts of meshes."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import trimesh

__all__ = ["Mesh", "extract_submesh"]


class Mesh(NamedTuple):
    """Vertices, triangles and, where known, vertex colours.

    Attributes:
        vertices: (N, 3) float32, pixels, frame of :mod:`rayboot.geometry.camera`.
        faces: (F, 3) int32, counter-clockwise seen from outside.
        colors: (N, 3) uint8 sRGB, or None.
    """

    vertices: np.ndarray
    faces: np.ndarray
    colors: np.ndarray | None = None

    def to_trimesh(self) -> "trimesh.Trimesh":
        """Returns the mesh as an object of the package trimesh, vertices in the same order."""
        # The import takes longer than a reconstruction, and few need it.
        import trimesh

        colors = None
        if self.colors is not None:
            opaque = np.full(len(self.colors), 255, np.uint8)
            colors = np.column_stack([self.colors, opaque])
        return trimesh.Trimesh(self.vertices, self.faces, vertex_colors=colors, process=False)


def extract_submesh(mesh: Mesh, kept: np.ndarray) -> Mesh:
    """Returns the part of a mesh that the kept vertices span, in unchanged order.

    A triangle is part of it if all three of its corners are kept.

    Args:
        mesh: the whole mesh.
        kept: (N,) bool, which vertices are kept.
    """
    faces = np.cumsum(kept)[mesh.faces[kept[mesh.faces].all(axis=1)]] - 1
    colors = None if mesh.colors is None else mesh.colors[kept]
    return Mesh(mesh.vertices[kept], faces.astype(np.int32), colors)
