"""The photo around the face as a sheet that turns with the head.

A photo on a plane leaves a face that floats before its own hair. Here what surrounds
the face lies on a surface: that of the mean head, placed by the pose, inside the
head's outline; beyond it the surface falls back to the plane, except below the
chin, where shoulders stay at the depth of the neck. Next to the face the surface
passes into the reconstructed one. Seen from the camera of the photo it shows the
photo, because its texture is projected along the camera's axis.
"""

from functools import cache

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from rayboot.errors import DegenerateInputError
from rayboot.geometry.alignment import Similarity
from rayboot.geometry.depth_map import draw_depth_map
from rayboot.geometry.head_model import load_head_model
from rayboot.render.scene import TexturedMesh, TexturedSurface
from rayboot.render.visibility import Visibility, cell_size

__all__ = ["BACK", "surround_with_sheet"]

BACK = -1.6
"""z of the plane behind the head, in the mean head's frame: behind the ears."""

_SLOPE = 1.3
"""Depth by which the surface falls back for each unit beyond the head's outline."""

_SHOULDER_DEPTH, _SHOULDER_SLOPE = -1.0, 0.25
"""z of the shoulders in the middle, and by how much they fall back to the sides."""

_CHIN, _NECK = -1.0, -1.4
"""Heights between which the surface passes from that of the head to that of the shoulders."""

_EXTENT, _GRID_SIZE = 4.0, 160
"""Half the width of the height map, in the mean head's unit, and its number of cells."""

_RIM_CELLS = 1.5
"""Width of the rim of the face (cells of about 1/96 crop) that belongs to the sheet: there the
reconstructed surface bends back, and the photo may show the background."""

_OBLIQUE_CELLS = 4.0
"""Distance from the outline up to which hidden vertices belong to the sheet as well."""

_HIDDEN_CELLS = 7.0
"""Distance from the outline at which the sheet, hidden by the face from every side, ends."""

_SINK_CELLS = 0.7
"""Depth of the sheet behind the face, which hides it."""

_FADE = 0.5
"""Distance over which the step between the reconstructed face and the mean head fades."""

_NUM_NEIGHBOURS = 8
"""Points of the face's outline whose step is averaged at a point of the sheet."""

_MIN_FACING = 0.15
"""Smallest cosine between a triangle of the face and the gaze; others are walls and back."""

_SPACING_CELLS = 3.0
"""Distance between the sheet's vertices within the photo."""

_REACH, _GROWTH = 1.0, 1.6
"""The sheet reaches beyond the photo by so many crops, in steps that grow by this factor."""

_MAX_STEPS = 5
"""Iterations in which a point of the photo finds its depth on the turned head."""


def surround_with_sheet(
    face: TexturedMesh,
    texture: np.ndarray,
    visibility: Visibility,
    gaze: np.ndarray,
    mean_face: Similarity,
) -> tuple[TexturedMesh, TexturedSurface]:
    """Returns the part of a face that the sheet does not replace, and the sheet around it.

    The face's rim, its walls and its back belong to the sheet.

    Args:
        face: the textured solid, in the frame of the crop.
        texture: (k S, k S, 3) uint8, the photo in the middle of an extended canvas.
        visibility: of the solid to the camera of the crop (S, S).
        gaze: (3,) of the face.
        mean_face: similarity from the mean head's frame to the crop's.

    Raises:
        DegenerateInputError: the face covers next to nothing of the crop.
    """
    front = _Front(visibility)
    places, source = face.vertices[:, :2], face.source_vertices
    kept = front.contains(places, _RIM_CELLS)
    kept &= visibility.normals[source] @ gaze > _MIN_FACING
    # Near the outline hidden vertices have colours of elsewhere; the sheet has the photo's.
    kept &= visibility.visible[source] | front.contains(places, _OBLIQUE_CELLS)
    cut = face._replace(faces=face.faces[kept[face.faces].all(axis=1)])
    size = len(visibility.outline_distance)
    axis = _vertex_positions(size)
    x, y = np.meshgrid(axis, axis)
    points = np.column_stack([x.ravel(), y.ravel()])
    z = _sheet_depth(points, front, mean_face, cell_size(size))
    faces = _grid_faces(len(axis))
    hidden = front.contains(points, _HIDDEN_CELLS)
    sheet = TexturedSurface(
        np.column_stack([points, z]),
        faces[~hidden[faces].all(axis=1)],
        texture,
        points / len(texture) + 0.5,
    )
    return cut, sheet


def _sheet_depth(
    points: np.ndarray, front: "_Front", mean_face: Similarity, cell: int
) -> np.ndarray:
    """Returns z (N,) of the sheet at x and y (N, 2): just behind the face, and around it."""
    outline, outline_z = front.outline()
    distance, nearest = cKDTree(outline).query(points, k=min(_NUM_NEIGHBOURS, len(outline)))
    weights = 1 / (distance + cell)
    weights /= weights.sum(axis=1, keepdims=True)
    step = outline_z - _depth_on_head(outline, outline_z, mean_face)
    start = (outline_z[nearest] * weights).sum(axis=1)
    fade = np.exp(-distance[:, 0] / (_FADE * mean_face.scale))
    z = _depth_on_head(points, start, mean_face) + fade * (step[nearest] * weights).sum(axis=1)
    inside = front.contains(points, _RIM_CELLS)
    z[inside] = front.depth(points[inside])
    return np.asarray(z - _SINK_CELLS * cell)


class _Front:
    """Depth of the face's front without its rim, continued beyond it."""

    def __init__(self, visibility: Visibility) -> None:
        self._cell = cell_size(len(visibility.outline_distance))
        known = np.isfinite(visibility.front_z)
        covered = ndimage.binary_closing(np.pad(known, 2), np.ones((3, 3)))[2:-2, 2:-2]
        self._outline_distance = ndimage.distance_transform_edt(covered)
        self._core = self._outline_distance > _RIM_CELLS
        if not (self._core & known).any():
            raise DegenerateInputError(
                "the face covers too few pixels of the crop to continue into its surroundings; "
                "check the shape, or choose other surroundings than 'sheet'"
            )
        source = ndimage.distance_transform_edt(
            ~(self._core & known), return_distances=False, return_indices=True
        )
        self._z = visibility.front_z[tuple(source)].astype(np.float64)

    def outline(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns x and y (M, 2) of the core's outermost cells, and their z (M,)."""
        rim = self._core & ~ndimage.binary_erosion(self._core)
        rows, columns = np.nonzero(rim)
        middle = (len(rim) - 1) / 2
        positions = np.column_stack([columns - middle, middle - rows]) * self._cell
        return positions, self._z[rim]

    def depth(self, points: np.ndarray) -> np.ndarray:
        """Returns z (N,) at x and y (N, 2)."""
        depth: np.ndarray = ndimage.map_coordinates(
            self._z, self._cells(points), order=1, mode="nearest"
        )
        return depth

    def contains(self, points: np.ndarray, distance: float) -> np.ndarray:
        """Returns which points (N, 2) are farther inside the outline than ``distance``, cells."""
        own: np.ndarray = ndimage.map_coordinates(
            self._outline_distance, self._cells(points), order=1, mode="constant"
        )
        return np.asarray(own > distance)

    def _cells(self, points: np.ndarray) -> list[np.ndarray]:
        middle = (len(self._z) - 1) / 2
        return [middle - points[:, 1] / self._cell, points[:, 0] / self._cell + middle]


def _vertex_positions(size: int) -> np.ndarray:
    """Returns the sheet's vertices along one axis: even within the photo, ever wider beyond."""
    spacing = _SPACING_CELLS * cell_size(size)
    inner = np.linspace(-size / 2, size / 2, round(size / spacing) + 1)
    count = int(np.ceil(np.log1p(_REACH * size / spacing * (_GROWTH - 1)) / np.log(_GROWTH)))
    outer = size / 2 + np.cumsum(spacing * _GROWTH ** np.arange(1, count + 1))
    return np.concatenate([-outer[::-1], inner, outer])


def _grid_faces(count: int) -> np.ndarray:
    """Returns the triangles (F, 3) of a grid of ``count`` x ``count`` vertices, rows along y."""
    index = np.arange(count * count).reshape(count, count)
    corners = [index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]]
    a, b, c, d = (corner.ravel() for corner in corners)
    return np.concatenate([np.column_stack([a, b, c]), np.column_stack([a, c, d])])


def _depth_on_head(points: np.ndarray, start: np.ndarray, mean_face: Similarity) -> np.ndarray:
    """Returns z (N,) of the placed mean head's height map at x and y (N, 2) of the crop's frame.

    Args:
        points: (N, 2), px.
        start: (N,) first guess, px.
        mean_face: similarity from the mean head's frame to the crop's.
    """
    z, along = start.astype(np.float64), max(float(mean_face.rotation[2, 2]), 0.3)
    for _ in range(_MAX_STEPS):
        placed = np.column_stack([points, z]) - mean_face.translation
        local = placed @ mean_face.rotation / mean_face.scale
        cells = (local[:, 1::-1] + _EXTENT) * (_GRID_SIZE - 1) / (2 * _EXTENT)
        height = ndimage.map_coordinates(_height_map(), cells.T, order=1, mode="nearest")
        # Damped, because the surface is steep in places.
        z = z + 0.8 * mean_face.scale * (height - local[:, 2]) / along
    return z


@cache
def _height_map() -> np.ndarray:
    """Returns z (G, G) of the mean head and what surrounds it; rows increase with y."""
    model, step = load_head_model(), 2 * _EXTENT / (_GRID_SIZE - 1)
    low = np.full(2, -_EXTENT)
    drawn = draw_depth_map(
        model.mean.astype(np.float64), model.faces, low, np.full(2, step), _GRID_SIZE
    )
    known = np.isfinite(drawn)
    covered = ndimage.binary_fill_holes(ndimage.binary_closing(known, np.ones((5, 5))))
    nearest = ndimage.distance_transform_edt(~known, return_distances=False, return_indices=True)
    head = drawn[tuple(nearest)]
    beyond = step * ndimage.distance_transform_edt(~covered)
    y, x = np.mgrid[:_GRID_SIZE, :_GRID_SIZE] * step - _EXTENT
    fallen = np.maximum(head - _SLOPE * beyond, BACK)
    shoulders = np.maximum(_SHOULDER_DEPTH - _SHOULDER_SLOPE * np.abs(x), BACK)
    body = np.where(covered, np.maximum(head, shoulders), shoulders)
    below = np.clip((_CHIN - y) / (_CHIN - _NECK), 0, 1)
    height = fallen + below * (np.maximum(body, fallen) - fallen)
    return np.asarray(ndimage.gaussian_filter(height, 1.0))
