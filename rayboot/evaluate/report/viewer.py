"""Shapes that turn with the mouse: what a page hands to plotly.js.

One plot shows one shape of one face at a time, as a browser keeps few drawing contexts.
Everything is packed, since it is part of the page: places in 16 bits, colours in 8.
"""

import base64
from collections.abc import Sequence
from typing import Any

import matplotlib.colors
import numpy as np

from rayboot.errors import DegenerateInputError
from rayboot.evaluate.report.examples import EvaluatedFace, Example
from rayboot.evaluate.report.panels import ERROR_COLORS, error_limit
from rayboot.geometry.mesh import Mesh
from rayboot.geometry.pose import FacePose, estimate_pose
from rayboot.render.texturing import color_vertices

__all__ = ["build_viewer_data", "cluster_vertices"]

_UNIT = 20_000
"""Width of a crop in the numbers that are handed over; 16 bits hold half as much again."""

_CELLS = 90
"""A truth finer than so many cells across a crop is thinned to them."""

_GREY = "#c8c4be"
_SHINE = {"ambient": 0.5, "diffuse": 0.7, "specular": 0.08, "roughness": 0.9, "fresnel": 0.05}


def build_viewer_data(
    examples: Sequence[tuple[str, Example]], models: Sequence[str]
) -> dict[str, Any] | None:
    """Faces and their shapes as JSON values; None where no face has one.

    Args:
        examples: by the name of their set; of each, the shapes of the first and the last model,
            and the truth laid onto them by ICP, coloured by its distance.
        models: in order.

    Returns:
        ``faces``, each with ``label`` and ``shapes``, each of those with ``label``, ``error``
        (whether its colours are distances) and ``traces`` of plotly; ``reach``, half the width
        of what is shown; ``limit`` in % and ``scale``, the colours of distances.
    """
    ends = list(dict.fromkeys([models[0], models[-1]]))
    limit = error_limit([example for _, example in examples], ends)
    faces = [
        {"label": _label(name, example), "shapes": _shapes(example, ends, limit)}
        for name, example in examples
        if any(model in example.seen for model in ends)
    ]
    if not faces:
        return None
    return {"faces": faces, "reach": _reach(examples, ends), "limit": limit, "scale": _scale()}


def _reach(examples: Sequence[tuple[str, Example]], models: Sequence[str]) -> float:
    """Half the width of a cube around the centre that holds every shape."""
    farthest = [
        np.abs(points / seen.crop - _centre(example, models)).max()
        for _, example in examples
        for seen in (example.seen[model] for model in models if model in example.seen)
        for points in (seen.thin.vertices, seen.motion.apply(seen.truth.vertices))
    ]
    return float(1.02 * _UNIT * max(farthest))


def _centre(example: Example, models: Sequence[str]) -> np.ndarray:
    """The middle of a face's first shape, in widths of its crop."""
    first = next(example.seen[model] for model in models if model in example.seen)
    return (first.thin.vertices.min(axis=0) + first.thin.vertices.max(axis=0)) / (2 * first.crop)


def _label(name: str, example: Example) -> str:
    yaw = f"yaw {example.yaw_deg:+.0f}°, " if np.isfinite(example.yaw_deg) else ""
    return f"{yaw}{name}, {example.face_id}"


def _scale() -> list[list[Any]]:
    """Colours of distances, as plotly's ``colorscale``."""
    colors = matplotlib.colormaps[ERROR_COLORS]
    return [[place, matplotlib.colors.to_hex(colors(place))] for place in np.linspace(0, 1, 9)]


def _shapes(example: Example, models: Sequence[str], limit: float) -> list[dict[str, Any]]:
    seen = {model: example.seen[model] for model in models if model in example.seen}
    # All shapes of a face are shifted alike, so that they stay where they are when one
    # takes another's place.
    centre = _centre(example, models)
    painted = [
        {"label": model, "error": False, "traces": [_painted(shape, centre)]}
        for model, shape in seen.items()
    ]
    truths = [
        {
            "label": f"truth, coloured by the error of {model}",
            "error": True,
            "traces": _truth(shape, centre, limit),
        }
        for model, shape in seen.items()
    ]
    return painted + truths


def _painted(seen: EvaluatedFace, centre: np.ndarray) -> dict[str, Any]:
    """A reconstruction in the photo's colours."""
    mesh = color_vertices(seen.thin, seen.truth.image, _pose(seen.thin), "mirrored")
    assert mesh.colors is not None
    return {
        **_mesh(mesh, seen.crop, centre),
        "rgb": base64.b64encode(mesh.colors.tobytes()).decode(),
    }


def _pose(mesh: Mesh) -> FacePose | None:
    try:
        return estimate_pose(mesh.vertices)
    except DegenerateInputError:
        return None


def _truth(seen: EvaluatedFace, centre: np.ndarray, limit: float) -> list[dict[str, Any]]:
    """The truth where ICP laid it, coloured; points alone lie on the pale reconstruction."""
    vertices = seen.motion.apply(seen.truth.vertices)
    share = 100 * seen.distances / limit
    if seen.truth.triangles is None:
        points = {
            "type": "scatter3d",
            "mode": "markers",
            **_places(vertices, seen.crop, centre),
            "marker": {"size": 5, "line": {"width": 1, "color": "#333"}, **_colors(share)},
        }
        points["marker"]["color"] = points["marker"].pop("intensity")
        return [{**_mesh(seen.thin, seen.crop, centre), "opacity": 0.5}, points]
    mesh, share = cluster_vertices(Mesh(vertices, seen.truth.triangles), share, seen.crop / _CELLS)
    return [{**_mesh(mesh, seen.crop, centre), **_colors(share)}]


def _colors(share: np.ndarray) -> dict[str, Any]:
    """Distances as shares of the scale, in 8 bits."""
    return {
        "intensity": _packed(np.rint(255 * np.clip(share, 0, 1)), "u1"),
        "cmin": 0,
        "cmax": 255,
        "showscale": False,
    }


def _mesh(mesh: Mesh, crop: int, centre: np.ndarray) -> dict[str, Any]:
    corners = dict(zip("ijk", mesh.faces.T, strict=True))
    kind = "u2" if len(mesh.vertices) < 2**16 else "u4"
    return {
        "type": "mesh3d",
        **_places(mesh.vertices, crop, centre),
        **{name: _packed(corner, kind) for name, corner in corners.items()},
        "color": _GREY,
        "lighting": _SHINE,
    }


def _places(vertices: np.ndarray, crop: int, centre: np.ndarray) -> dict[str, Any]:
    """x right, y away from the viewer, z up: plotly turns about z."""
    at = np.clip(np.rint((vertices / crop - centre) * _UNIT), -(2**15), 2**15 - 1)
    return {
        "x": _packed(at[:, 0], "i2"),
        "y": _packed(-at[:, 2], "i2"),
        "z": _packed(at[:, 1], "i2"),
        "hoverinfo": "skip",
    }


def _packed(values: np.ndarray, kind: str) -> dict[str, str]:
    """An array as plotly.js takes it: its bytes in base64, little-endian."""
    payload = np.ascontiguousarray(values).astype(f"<{kind}").tobytes()
    return {"dtype": kind, "bdata": base64.b64encode(payload).decode()}


def cluster_vertices(mesh: Mesh, values: np.ndarray, cell: float) -> tuple[Mesh, np.ndarray]:
    """A mesh whose vertices within one cube are one, at their mean; for pictures.

    Args:
        mesh: a surface, open or closed.
        values: (N,) of its vertices; those of one cube are averaged.
        cell: edge of the cubes.

    Returns:
        The mesh without triangles that fell together, and the values of its vertices.
    """
    cubes = np.floor(mesh.vertices / cell).astype(int)
    _, member, counts = np.unique(cubes, axis=0, return_inverse=True, return_counts=True)
    member = member.reshape(-1)
    means = [np.bincount(member, column) / counts for column in (*mesh.vertices.T, values)]
    faces = member[mesh.faces]
    distances = (faces != np.roll(faces, 1, axis=1)).all(axis=1)
    return Mesh(np.column_stack(means[:3]), faces[distances].astype(np.int32)), means[3]
