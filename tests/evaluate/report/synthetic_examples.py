"""Balls in place of faces, and a name that tries to run a script."""

import numpy as np

from rayboot.evaluate.datasets.base import GroundTruthFace
from rayboot.evaluate.report.examples import EvaluatedFace, Example
from rayboot.geometry.alignment import Similarity
from rayboot.geometry.isosurface import extract_surface
from rayboot.geometry.mesh import Mesh

MALICIOUS_NAME = '</script><script>hacked=1</script><img src=x onerror="hacked=1">'
"""A name that would run scripts on a page that does not escape it."""


def ball(size: int, radius: float) -> Mesh:
    z, y, x = np.mgrid[:size, :size, :size].astype(float) - (size - 1) / 2
    distance = np.sqrt(x**2 + y**2 + (z / 2) ** 2)
    return extract_surface(np.clip(radius - distance + 0.5, 0, 1).astype(np.float32))


def evaluated_face(error: float, *, points: bool = False, size: int = 48) -> EvaluatedFace:
    """A ball as reconstruction, and another as truth, every point of which errs by ``error``."""
    mesh, truth = ball(size, size / 4), ball(size, size / 5)
    image = np.full((size, size, 3), 90, np.uint8)
    triangles = None if points else truth.faces
    vertices = truth.vertices[::40] if points else truth.vertices
    face = GroundTruthFace("a", image, vertices, size / 3, 0.0, triangles)
    identity = Similarity(1.0, np.eye(3), np.zeros(3))
    return EvaluatedFace(face, mesh, mesh, np.full(len(vertices), error), identity)


def example(**evaluated: EvaluatedFace) -> Example:
    return Example("a", 20.0, np.full((48, 48, 3), 90, np.uint8), evaluated)
