"""Data of the interactive 3D shapes on the page, which :mod:`rayboot.viewer` draws.

One view shows one shape of one face at a time, because a browser allows few drawing contexts.
Arrays are packed to keep the page small: coordinates into 16 bits, colours into 8.
"""

from collections.abc import Sequence
from typing import Any

import matplotlib
import matplotlib.colors
import numpy as np

from rayboot.errors import DegenerateInputError
from rayboot.evaluate.report.examples import EvaluatedFace, Example
from rayboot.evaluate.report.panels import ERROR_COLORMAP, compute_error_limit
from rayboot.geometry.mesh import Mesh
from rayboot.geometry.pose import FacePose, estimate_pose
from rayboot.render.texturing import color_vertices
from rayboot.viewer import pack_array

__all__ = ["build_viewer_data", "cluster_vertices"]

_UNITS_PER_CROP = 20_000
"""Width of a crop in the packed integer coordinates; 16 bits hold one and a half times as much."""

_MAX_TRUTH_CELLS = 90
"""Number of cells across a crop to which the true mesh is simplified."""

_POINT_SIZE = 6
"""Diameter of a true point, CSS px."""

_PHOTO_LIGHT = (0.86, 0.16)
"""Ambient and diffuse light on colours of the photo, which include its light already."""


def build_viewer_data(
    examples: Sequence[tuple[str, Example]], models: Sequence[str]
) -> dict[str, Any] | None:
    """Returns faces and their shapes as JSON values; None where no face has a shape.

    For each face there are the reconstructions of the first and the last model, and the truth
    aligned with each by ICP, coloured by its distance.

    Args:
        examples: Example faces with the name of their dataset.
        models: Models in order.

    Returns:
        ``faces``, each with ``label`` and ``shapes``, each of those with ``label``, ``error``
        (whether its colours are distances) and ``parts``, whose arrays are packed; ``half_width``
        of the cube that is shown; ``limit`` in % and ``scale``, the colours of distances.
    """
    ends = list(dict.fromkeys([models[0], models[-1]]))
    limit = compute_error_limit([example for _, example in examples], ends)
    faces = [
        {"label": _face_label(name, example), "shapes": _make_shapes(example, ends, limit)}
        for name, example in examples
        if any(model in example.evaluated for model in ends)
    ]
    if not faces:
        return None
    half_width = _compute_half_width(examples, ends)
    return {"faces": faces, "half_width": half_width, "limit": limit, "scale": _color_scale()}


def _compute_half_width(examples: Sequence[tuple[str, Example]], models: Sequence[str]) -> float:
    """Returns half the width of a cube around the centre that holds every shape."""
    farthest = [
        np.abs(points / face.crop_size - _find_centre(example, models)).max()
        for _, example in examples
        for face in (example.evaluated[model] for model in models if model in example.evaluated)
        for points in (
            face.coarse_mesh.vertices,
            face.prediction_from_truth.apply(face.truth.vertices),
        )
    ]
    return float(1.02 * _UNITS_PER_CROP * max(farthest))


def _find_centre(example: Example, models: Sequence[str]) -> np.ndarray:
    """Returns the centre of a face's first shape, in widths of its crop."""
    first = next(example.evaluated[model] for model in models if model in example.evaluated)
    vertices = first.coarse_mesh.vertices
    return np.asarray((vertices.min(axis=0) + vertices.max(axis=0)) / (2 * first.crop_size))


def _face_label(name: str, example: Example) -> str:
    yaw = f"yaw {example.yaw_deg:+.0f}°, " if np.isfinite(example.yaw_deg) else ""
    return f"{yaw}{name}, {example.face_id}"


def _color_scale() -> list[list[Any]]:
    """Returns the colours of distances as pairs of position and colour."""
    colormap = matplotlib.colormaps[ERROR_COLORMAP]
    return [[value, matplotlib.colors.to_hex(colormap(value))] for value in np.linspace(0, 1, 9)]


def _make_shapes(example: Example, models: Sequence[str], limit: float) -> list[dict[str, Any]]:
    faces = {model: example.evaluated[model] for model in models if model in example.evaluated}
    # All shapes of a face have the same centre, so that they stay in place when one replaces
    # another.
    centre = _find_centre(example, models)
    reconstructions = [
        {"label": model, "error": False, "parts": [_reconstruction_part(face, centre)]}
        for model, face in faces.items()
    ]
    truths = [
        {
            "label": f"truth, coloured by the error of {model}",
            "error": True,
            "parts": _truth_parts(face, centre, limit),
        }
        for model, face in faces.items()
    ]
    return reconstructions + truths


def _reconstruction_part(face: EvaluatedFace, centre: np.ndarray) -> dict[str, Any]:
    """Returns a reconstruction in the colours of the photo."""
    pose = _estimate_pose(face.coarse_mesh)
    mesh = color_vertices(face.coarse_mesh, face.truth.image, pose, "mirrored")
    assert mesh.colors is not None
    return {
        **_mesh_part(mesh, face.crop_size, centre),
        "colors": pack_array(mesh.colors, "u1"),
        "light": _PHOTO_LIGHT,
    }


def _estimate_pose(mesh: Mesh) -> FacePose | None:
    try:
        return estimate_pose(mesh.vertices)
    except DegenerateInputError:
        return None


def _truth_parts(face: EvaluatedFace, centre: np.ndarray, limit: float) -> list[dict[str, Any]]:
    """Returns the aligned truth, coloured; points are drawn on the translucent reconstruction."""
    vertices = face.prediction_from_truth.apply(face.truth.vertices)
    relative_distances = 100 * face.distances / limit
    if face.truth.triangles is None:
        points = {
            **_packed_vertices(vertices, face.crop_size, centre),
            "colors": _packed_colors(relative_distances),
            "pointSize": _POINT_SIZE,
        }
        return [
            {**_mesh_part(face.coarse_mesh, face.crop_size, centre), "opacity": 0.5},
            points,
        ]
    mesh, relative_distances = cluster_vertices(
        Mesh(vertices, face.truth.triangles),
        relative_distances,
        face.crop_size / _MAX_TRUTH_CELLS,
    )
    return [
        {
            **_mesh_part(mesh, face.crop_size, centre),
            "colors": _packed_colors(relative_distances),
        }
    ]


def _packed_colors(relative_distances: np.ndarray) -> dict[str, str]:
    """Packs the colours of distances, which are fractions of the colour scale."""
    colors = matplotlib.colormaps[ERROR_COLORMAP](np.clip(relative_distances, 0, 1), bytes=True)
    return pack_array(colors[:, :3], "u1")


def _mesh_part(mesh: Mesh, crop_size: int, centre: np.ndarray) -> dict[str, Any]:
    kind = "u2" if len(mesh.vertices) < 2**16 else "u4"
    return {
        **_packed_vertices(mesh.vertices, crop_size, centre),
        "indices": pack_array(mesh.faces, kind),
    }


def _packed_vertices(vertices: np.ndarray, crop_size: int, centre: np.ndarray) -> dict[str, Any]:
    scaled = np.rint((vertices / crop_size - centre) * _UNITS_PER_CROP)
    return {"positions": pack_array(np.clip(scaled, -(2**15), 2**15 - 1), "i2")}


def cluster_vertices(mesh: Mesh, values: np.ndarray, cell: float) -> tuple[Mesh, np.ndarray]:
    """Simplifies a mesh for display: vertices within one cube are merged at their mean.

    Args:
        mesh: A surface, open or closed.
        values: (N,), values of its vertices; those of merged vertices are averaged.
        cell: Edge of the cubes.

    Returns:
        The mesh without triangles that collapsed, and the values of its vertices.
    """
    cubes = np.floor(mesh.vertices / cell).astype(int)
    _, cluster, counts = np.unique(cubes, axis=0, return_inverse=True, return_counts=True)
    cluster = cluster.reshape(-1)
    means = [np.bincount(cluster, column) / counts for column in (*mesh.vertices.T, values)]
    faces = cluster[mesh.faces]
    has_area = (faces != np.roll(faces, 1, axis=1)).all(axis=1)
    return Mesh(np.column_stack(means[:3]), faces[has_area].astype(np.int32)), means[3]
