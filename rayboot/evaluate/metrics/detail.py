"""Errors of details: normals, the nose, and landmarks against the front alone.

A mean distance says little about them: a nose covers a small part of a face, a smooth shape has
small distances everywhere, and side walls of a solid are close to landmarks that its front misses.
All are taken after the rigid ICP of the comparison.
"""

from typing import NamedTuple

import numpy as np

from rayboot.evaluate.metrics.nme import Comparison
from rayboot.evaluate.metrics.registration import Surface
from rayboot.geometry.alignment import fit_similarity
from rayboot.geometry.head_model import mean_landmarks
from rayboot.geometry.isosurface import vertex_normals
from rayboot.geometry.mesh import Mesh

__all__ = ["DetailErrors", "find_nose", "measure_details"]

_INNER = slice(17, 68)
"""Landmarks of brows, nose, eyes and mouth; those of the jaw slide along its contour."""

_NOSE = slice(27, 36)

_NOSE_RADIUS = 0.25
"""Distance from the landmarks of the nose within which vertices belong to it, outer eye
distances."""

_NUM_LANDMARKS = 68


class DetailErrors(NamedTuple):
    """Errors of the details of a face; NaN where the truth does not contain them.

    Attributes:
        normal_deg: Mean angle between a true normal and that of the closest predicted vertex.
        nme_nose: Mean distance of the true nose to the prediction, as a fraction of the outer eye
            distance.
        nme_inner: Mean distance of the 51 inner landmarks to vertices that face as the face does,
            likewise; only where the truth consists of the 68 landmarks.
    """

    normal_deg: float = float("nan")
    nme_nose: float = float("nan")
    nme_inner: float = float("nan")


def find_nose(vertices: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """Returns the indices (K,) of the vertices of the nose.

    Args:
        vertices: (N, 3) vertices of a face.
        landmarks: (68, 3) in the same frame and unit, iBUG order.
    """
    unit = np.linalg.norm(landmarks[45] - landmarks[36])
    distance, _ = _nearest(landmarks[_NOSE], vertices)
    return np.flatnonzero(distance < _NOSE_RADIUS * unit)


def measure_details(
    comparison: Comparison,
    predicted: Mesh,
    truth: Mesh | np.ndarray,
    interocular: float,
    nose: np.ndarray | None = None,
) -> DetailErrors:
    """Measures the details of a compared shape.

    Args:
        comparison: Comparison of ``predicted`` with ``truth``.
        predicted: Reconstruction.
        truth: True face, or its 68 landmarks.
        interocular: 3D distance of the true outer eye corners, same unit.
        nose: (K,) indices of the true vertices of the nose.
    """
    normals = vertex_normals(predicted.vertices, predicted.faces)
    if not isinstance(truth, Mesh):
        if len(truth) != _NUM_LANDMARKS:
            return DetailErrors()
        return DetailErrors(
            nme_inner=_inner_error(comparison, predicted, normals, truth, interocular)
        )
    transform = comparison.prediction_from_truth
    _, closest = _nearest(predicted.vertices, transform.apply(truth.vertices))
    true_normals = vertex_normals(truth.vertices, truth.faces) @ transform.rotation.T
    cosine = np.einsum("ij,ij->i", true_normals, normals[closest]).clip(-1, 1)
    nose_error = float("nan")
    if nose is not None and len(nose):
        nose_error = float(comparison.from_truth("icp")[nose].mean() / interocular)
    return DetailErrors(float(np.degrees(np.arccos(cosine)).mean()), nose_error)


def _inner_error(
    comparison: Comparison,
    predicted: Mesh,
    normals: np.ndarray,
    landmarks: np.ndarray,
    interocular: float,
) -> float:
    aligned = comparison.prediction_from_truth.apply(landmarks)
    gaze = fit_similarity(mean_landmarks()[_INNER], aligned[_INNER]).rotation[:, 2]
    front = predicted.vertices[normals @ gaze > 0]
    distance, _ = _nearest(front, aligned[_INNER])
    return float(distance.mean() / interocular)


def _nearest(targets: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns distance and index (N,) of the target closest to each point."""
    closest = Surface(targets).closest(points)
    return closest.distance, closest.vertex_index
