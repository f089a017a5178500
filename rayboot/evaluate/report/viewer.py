"""Data of the interactive 3D viewer on the page, which plotly.js draws.

One plot shows one shape of one face at a time, because a browser allows few drawing contexts.
Arrays are packed to keep the page small: coordinates into 16 bits, colours into 8.
"""

import base64
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

__all__ = ["build_viewer_data", "cluster_vertices"]

_UNITS_PER_CROP = 20_000
"""Width of a crop in the packed integer coordinates; 16 bits hold one and a half times as much."""

_MAX_TRUTH_CELLS = 90
"""Number of cells across a crop to which the true mesh is simplified."""

_GREY = "#c8c4be"
_LIGHTING = {"ambient": 0.5, "diffuse": 0.7, "specular": 0.08, "roughness": 0.9, "fresnel": 0.05}


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
        (whether its colours are distances) and ``traces`` of plotly; ``half_width`` of the cube
        that is shown; ``limit`` in % and ``scale``, the colours of distances.
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
    """Returns the colours of distances as plotly's ``colorscale``."""
    colormap = matplotlib.colormaps[ERROR_COLORMAP]
    return [[value, matplotlib.colors.to_hex(colormap(value))] for value in np.linspace(0, 1, 9)]


def _make_shapes(example: Example, models: Sequence[str], limit: float) -> list[dict[str, Any]]:
    faces = {model: example.evaluated[model] for model in models if model in example.evaluated}
    # All shapes of a face have the same centre, so that they stay in place when one replaces
    # another.
    centre = _find_centre(example, models)
    reconstructions = [
        {"label": model, "error": False, "traces": [_reconstruction_trace(face, centre)]}
        for model, face in faces.items()
    ]
    truths = [
        {
            "label": f"truth, coloured by the error of {model}",
            "error": True,
            "traces": _truth_traces(face, centre, limit),
        }
        for model, face in faces.items()
    ]
    return reconstructions + truths


def _reconstruction_trace(face: EvaluatedFace, centre: np.ndarray) -> dict[str, Any]:
    """Returns a reconstruction in the colours of the photo."""
    pose = _estimate_pose(face.coarse_mesh)
    mesh = color_vertices(face.coarse_mesh, face.truth.image, pose, "mirrored")
    assert mesh.colors is not None
    return {
        **_mesh_trace(mesh, face.crop_size, centre),
        "rgb": base64.b64encode(mesh.colors.tobytes()).decode(),
    }


def _estimate_pose(mesh: Mesh) -> FacePose | None:
    try:
        return estimate_pose(mesh.vertices)
    except DegenerateInputError:
        return None


def _truth_traces(face: EvaluatedFace, centre: np.ndarray, limit: float) -> list[dict[str, Any]]:
    """Returns the aligned truth, coloured; points are drawn on the translucent reconstruction."""
    vertices = face.prediction_from_truth.apply(face.truth.vertices)
    relative_distances = 100 * face.distances / limit
    if face.truth.triangles is None:
        colors = _packed_colors(relative_distances)
        points = {
            "type": "scatter3d",
            "mode": "markers",
            **_packed_coordinates(vertices, face.crop_size, centre),
            "marker": {
                "size": 5,
                "line": {"width": 1, "color": "#333"},
                "cmin": colors["cmin"],
                "cmax": colors["cmax"],
                "showscale": colors["showscale"],
                "color": colors["intensity"],
            },
        }
        surface = _mesh_trace(face.coarse_mesh, face.crop_size, centre)
        return [{**surface, "opacity": 0.5}, points]
    mesh, relative_distances = cluster_vertices(
        Mesh(vertices, face.truth.triangles),
        relative_distances,
        face.crop_size / _MAX_TRUTH_CELLS,
    )
    return [{**_mesh_trace(mesh, face.crop_size, centre), **_packed_colors(relative_distances)}]


def _packed_colors(relative_distances: np.ndarray) -> dict[str, Any]:
    """Packs distances, as fractions of the colour scale, into 8 bits."""
    return {
        "intensity": _packed(np.rint(255 * np.clip(relative_distances, 0, 1)), "u1"),
        "cmin": 0,
        "cmax": 255,
        "showscale": False,
    }


def _mesh_trace(mesh: Mesh, crop_size: int, centre: np.ndarray) -> dict[str, Any]:
    corners = dict(zip("ijk", mesh.faces.T, strict=True))
    kind = "u2" if len(mesh.vertices) < 2**16 else "u4"
    return {
        "type": "mesh3d",
        **_packed_coordinates(mesh.vertices, crop_size, centre),
        **{name: _packed(indices, kind) for name, indices in corners.items()},
        "color": _GREY,
        "lighting": _LIGHTING,
    }


def _packed_coordinates(vertices: np.ndarray, crop_size: int, centre: np.ndarray) -> dict[str, Any]:
    """Packs vertices with x right, y away from the viewer, z up, since plotly rotates about z."""
    scaled = np.rint((vertices / crop_size - centre) * _UNITS_PER_CROP)
    coordinates = np.clip(scaled, -(2**15), 2**15 - 1)
    return {
        "x": _packed(coordinates[:, 0], "i2"),
        "y": _packed(-coordinates[:, 2], "i2"),
        "z": _packed(coordinates[:, 1], "i2"),
        "hoverinfo": "skip",
    }


def _packed(values: np.ndarray, kind: str) -> dict[str, str]:
    """Returns an array as plotly.js reads it: its little-endian bytes in base64."""
    payload = np.ascontiguousarray(values).astype(f"<{kind}").tobytes()
    return {"dtype": kind, "bdata": base64.b64encode(payload).decode()}


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
