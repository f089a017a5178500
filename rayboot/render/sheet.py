"""The photo around the face as a sheet that turns with the head.

A photo on a plane leaves a face that floats before its own hair. Here what surrounds
the face lies on a surface: that of the mean head, placed by the pose, inside the
head's outline; beyond it the surface falls back to the plane, except below the
chin, where shoulders stay at the depth of the neck. Seen from the camera of the
photo it shows the photo, because its texture is projected along the camera's axis.

The sides of a face, from the cheeks to the ears and from the chin to the neck, are
hardly visible in a frontal photo. They are walls of the reconstructed solid, in the
colours next to them, and the sheet begins behind them: otherwise hair and ears
would follow the cheeks at once, and a network that learns from such renders makes
every face too wide.
"""

from functools import cache

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from rayboot.errors import DegenerateInputError
from rayboot.geometry.alignment import Similarity
from rayboot.geometry.depth_map import draw_depth_map
from rayboot.geometry.head_model import load_head_model, mean_landmarks
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
"""Width of the rim of the face (cells of about 1/96 crop) whose front is not used as a depth: there
the reconstructed surface bends back."""

_SIDE_REACH, _NUM_DIRECTIONS = 0.15, 12
"""Radius around a point of the face's outline within which the mean head's surface is searched for
what follows the side of the face, such as the ear; and the number of directions."""

_CONTOUR = slice(8, None, -1)
"""Landmarks of one side of the contour, from the chin up to the ear."""

_WALL_CELLS = 1.5
"""How far the walls of the solid reach behind the beginning of the sheet, so that nothing shows
between them."""

_HIDDEN_CELLS = 7.0
"""Distance from the outline at which the sheet, hidden by the face from every side, ends."""

_SINK_CELLS = 0.7
"""Depth of the sheet behind the face, which hides it."""

_NUM_NEIGHBOURS = 8
"""Points of the face's outline whose depth is averaged at a point of the sheet."""

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
    """Returns the face without the part of the solid behind the sheet, and the sheet around it.

    Args:
        face: the textured solid, in the frame of the crop.
        texture: (k S, k S, 3) uint8, the photo in the middle of an extended canvas.
        visibility: of the solid to the camera of the crop (S, S).
        gaze: (3,) of the face.
        mean_face: similarity from the mean head's frame to the crop's.

    Raises:
        DegenerateInputError: the face covers next to nothing of the crop.
    """
    size = len(visibility.outline_distance)
    cell = cell_size(size)
    front = _Front(visibility)
    start = _SheetStart(front, face.vertices, gaze, mean_face, cell)
    kept = face.vertices[:, 2] > start.depth(face.vertices[:, :2]) - _WALL_CELLS * cell
    cut = face._replace(faces=face.faces[kept[face.faces].all(axis=1)])
    axis = _vertex_positions(size)
    x, y = np.meshgrid(axis, axis)
    points = np.column_stack([x.ravel(), y.ravel()])
    z = start.depth(points)
    around = ~front.contains(points, 0)
    z[around] = np.minimum(
        _depth_on_head(points[around], z[around], mean_face),
        # The sheet may return to the head's surface within a short distance, as to a hat.
        z[around] + start.distance(points[around]),
    )
    faces = _grid_faces(len(axis))
    hidden = front.contains(points, _HIDDEN_CELLS)
    sheet = TexturedSurface(
        np.column_stack([points, z - _SINK_CELLS * cell]),
        faces[~hidden[faces].all(axis=1)],
        texture,
        points / len(texture) + 0.5,
    )
    return cut, sheet


class _SheetStart:
    """Depth at which the sheet begins behind the sides of a face.

    It is the depth of what is next to the face on the mean head, but not behind the face's contour
    in front of the ears and along the jaw, nor behind the solid's own back, since its walls do not
    reach farther.
    """

    def __init__(
        self,
        front: "_Front",
        vertices: np.ndarray,
        gaze: np.ndarray,
        mean_face: Similarity,
        cell: int,
    ) -> None:
        outline, outline_z = front.outline()
        angles = np.linspace(0, 2 * np.pi, _NUM_DIRECTIONS, endpoint=False)
        radius = _SIDE_REACH * mean_face.scale
        behind = outline_z
        for step in radius * np.column_stack([np.cos(angles), np.sin(angles)]):
            behind = np.minimum(behind, _depth_on_head(outline + step, outline_z, mean_face))
        back = ((vertices @ gaze).min() - outline @ gaze[:2]) / gaze[2] + _WALL_CELLS * cell
        side = _contour_depth(outline, outline_z, mean_face)
        self._z = np.minimum(np.maximum.reduce([behind, back, side]), outline_z)
        self._tree, self._cell = cKDTree(outline), cell
        self._num_neighbours = min(_NUM_NEIGHBOURS, len(outline))

    def depth(self, points: np.ndarray) -> np.ndarray:
        """Returns z (N,) at x and y (N, 2), from the nearest points of the outline."""
        distance, nearest = self._tree.query(points, k=[*range(1, self._num_neighbours + 1)])
        weights = 1 / (distance + self._cell)
        weights /= weights.sum(axis=1, keepdims=True)
        return np.asarray((self._z[nearest] * weights).sum(axis=1))

    def distance(self, points: np.ndarray) -> np.ndarray:
        """Returns the distance (N,) of x and y (N, 2) from the outline, px."""
        return np.asarray(self._tree.query(points)[0])


def _contour_depth(outline: np.ndarray, outline_z: np.ndarray, mean_face: Similarity) -> np.ndarray:
    """Returns z (M,) of the placed mean face's contour, at the height of each outline point."""
    contour = mean_landmarks()[_CONTOUR]
    shifted = np.column_stack([outline, outline_z]) - mean_face.translation
    height = shifted @ mean_face.rotation[:, 1] / mean_face.scale
    local = np.interp(height, contour[:, 1], contour[:, 2])
    axis = mean_face.rotation[:, 2]
    along = mean_face.scale * local - shifted[:, :2] @ axis[:2]
    return np.asarray(mean_face.translation[2] + along / max(axis[2], 0.3))


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
