"""Heads cut in many ways and filled back to a plane: solids on which the pose is measured.

What a network reconstructs of a head depends on the shapes that it was trained on:
some have ears, some end at the brows, some lack the chin. A pose may not depend on
that. A cut is a mask over the depth map of the upright head.
"""

from typing import NamedTuple

import numpy as np
from scipy import ndimage
from scipy.spatial import Delaunay

from rayboot.errors import DegenerateInputError
from rayboot.geometry.crop import landmark_crop
from rayboot.geometry.depth_map import draw_depth_map
from rayboot.geometry.face_solid import head_coordinates

__all__ = [
    "DEVELOPMENT_CUTS",
    "REPORT_CUTS",
    "CutSolid",
    "build_cut_solid",
    "draw_cut",
    "named_cut",
]

DEVELOPMENT_CUTS = ("ellipse", "hull", "ears")
REPORT_CUTS = ("rectangle", "no chin", "no forehead", "mouth hole", "one-sided", "tilted")
"""Cuts of which nothing was chosen on; results are reported on these."""

_GRID_SIZE = 128
_LOW, _HIGH = np.array([-1.35, -2.0]), np.array([1.35, 1.4])
_STEP = (_HIGH - _LOW) / (_GRID_SIZE - 1)
_X, _Y = np.meshgrid(*(_LOW[i] + _STEP[i] * np.arange(_GRID_SIZE) for i in range(2)))
"""x and y of each cell of a cut, in the head's frame: units of the outer eye distance."""

_SOFT_WIDTH = 1.5
"""Distance over which the occupancy falls from 1 to 0 before smoothing, px."""


class CutSolid(NamedTuple):
    """A solid in the frame of a crop.

    Attributes:
        volume: (D, S, S) float32 in [0, 1].
        transform: (3, 4) from the head's frame to the crop's, px.
    """

    volume: np.ndarray
    transform: np.ndarray


def draw_cut(rng: np.random.Generator, landmarks: np.ndarray) -> np.ndarray:
    """Draws a cut (G, G) bool: an ellipse of any height and width, often chopped, with holes.

    Args:
        rng: source of the random numbers.
        landmarks: (68, 3) of the head, head's frame.
    """
    half_width, chin, brow = _face_extent(landmarks)
    top = rng.uniform(brow - 0.1, brow + 1.0)
    bottom = rng.uniform(chin - 0.25, chin + 0.35)
    radii = half_width * rng.uniform(0.8, 1.35), (top - bottom) / 2 * rng.uniform(1.0, 1.3)
    cut = _ellipse((rng.normal(0, 0.02), (top + bottom) / 2), radii)
    if rng.random() < 0.5:
        cut &= top > _Y
    if rng.random() < 0.5:
        cut &= bottom < _Y
    for _ in range(rng.integers(0, 3)):
        if rng.random() < 0.5:
            centre = rng.uniform(-0.7, 0.7), rng.uniform(chin, top)
            cut &= ~_ellipse(centre, (rng.uniform(0.05, 0.2),) * 2)
    return cut


def named_cut(name: str, landmarks: np.ndarray) -> np.ndarray:
    """Returns one of the cuts (G, G) bool of ``DEVELOPMENT_CUTS`` and ``REPORT_CUTS``.

    Args:
        name: name of the cut.
        landmarks: (68, 3) of the head, head's frame.
    """
    half_width, chin, brow = _face_extent(landmarks)
    face = _span((chin - 0.05, brow + 0.5), half_width)
    if name == "hull":
        points = np.column_stack([_X.ravel(), _Y.ravel()])
        return np.asarray(Delaunay(landmarks[:, :2]).find_simplex(points) >= 0).reshape(_X.shape)
    mouth = landmarks[48:60, :2].mean(axis=0)
    turned = np.radians(20)
    across = np.cos(turned) * _X + np.sin(turned) * (_Y - (chin + brow + 0.45) / 2)
    upward = -np.sin(turned) * _X + np.cos(turned) * (_Y - (chin + brow + 0.45) / 2)
    cuts = {
        "ellipse": face,
        "ears": np.abs(_Y - (chin + brow + 0.75) / 2) <= (brow - chin + 1.05) / 2,
        "rectangle": _span((chin - 0.1, brow + 0.6), 1.05 * half_width, power=5),
        "no chin": face & (_Y - landmarks[57, 1] > -0.03),
        "no forehead": _span((chin - 0.5, brow + 0.5), 1.1 * half_width)
        & (np.abs(_Y - (chin + brow - 0.1) / 2) < (brow - chin + 0.1) / 2),
        "mouth hole": face & ~_ellipse((mouth[0], mouth[1]), (0.33, 0.17)),
        "one-sided": face & np.less(_X, 0.45 * half_width),
        "tilted": (across / (0.85 * half_width)) ** 2 + (upward / ((brow - chin) * 0.75)) ** 2 <= 1,
    }
    return np.asarray(cuts[name])


def _face_extent(landmarks: np.ndarray) -> tuple[float, float, float]:
    """Returns half the width of the jaw, and y of chin and brows."""
    return (
        float(np.abs(landmarks[:17, 0]).max()),
        float(landmarks[8, 1]),
        float(landmarks[17:27, 1].mean()),
    )


def _ellipse(
    centre: tuple[float, float], radii: tuple[float, float], power: float = 2
) -> np.ndarray:
    """Returns the cells inside an ellipse, or with a higher power a rounded rectangle."""
    x, y = (_X - centre[0]) / radii[0], (_Y - centre[1]) / radii[1]
    return np.asarray(np.abs(x) ** power + np.abs(y) ** power <= 1)


def _span(heights: tuple[float, float], half_width: float, power: float = 2) -> np.ndarray:
    """Returns the cells inside an upright ellipse from one height to another."""
    bottom, top = heights
    return _ellipse((0.0, (top + bottom) / 2), (half_width, (top - bottom) / 2), power)


def build_cut_solid(
    vertices: np.ndarray,
    faces: np.ndarray,
    landmarks: np.ndarray,
    cut: np.ndarray,
    rotation: np.ndarray,
    *,
    depth: float,
    size: int = 96,
    smoothing: float = 0.8,
    zoom: float = 1.0,
) -> CutSolid:
    """Returns the part of a head inside a cut, filled back to a plane, in a crop by its landmarks.

    Args:
        vertices: (N, 3) of the whole head, head's frame.
        faces: (F, 3) triangles.
        landmarks: (68, 3), head's frame.
        cut: (G, G) bool.
        rotation: (3, 3) from the head's frame to the crop's.
        depth: distance from the foremost point to the back plane, px of a crop of 192 px.
        size: width and height of the crop, px.
        smoothing: standard deviation of the filter on the volume, px.
        zoom: factor on the scale of the crop.

    Raises:
        DegenerateInputError: the cut contains nothing of the head.
    """
    front = draw_depth_map(vertices, faces, _LOW, _STEP, _GRID_SIZE)
    kept = cut & np.isfinite(front)
    if not kept.any():
        raise DegenerateInputError("the cut contains no part of the head")
    nearest = ndimage.distance_transform_edt(
        ~np.isfinite(front), return_distances=False, return_indices=True
    )
    front = front[tuple(nearest)]
    turned = landmarks @ rotation.T
    scale = float(landmark_crop(turned[:, :2] * (1, -1), size)[0, 0]) * zoom
    back = float(front[kept].max()) - depth * size / 192 / scale
    z = np.concatenate([np.maximum(front[kept], back), np.full(int(kept.sum()), back)])
    surface = np.column_stack([np.tile(_X[kept], 2), np.tile(_Y[kept], 2), z]) @ rotation.T * scale
    shift = np.append(
        -scale * turned[:, :2].mean(axis=0), -(surface[:, 2].min() + surface[:, 2].max()) / 2
    )
    transform = np.column_stack([scale * rotation, shift])
    bounds = np.stack([surface.min(axis=0), surface.max(axis=0)]) + shift
    shape = (round(size * 100 / 96), size, size)
    volume = _fill(front, _signed_distance(kept), back, transform, bounds, shape)
    # In depth a pixel has two slices.
    smoothed = ndimage.gaussian_filter(volume, (2 * smoothing, smoothing, smoothing))
    return CutSolid(smoothed, transform)


def _signed_distance(kept: np.ndarray) -> np.ndarray:
    """Returns the distance of each cell to the outline, positive inside, head's unit."""
    inside = ndimage.distance_transform_edt(kept)
    outside = ndimage.distance_transform_edt(~kept)
    return np.asarray((inside - outside - np.sign(inside - outside) / 2) * _STEP.mean())


def _fill(
    front: np.ndarray,
    rim: np.ndarray,
    back: float,
    transform: np.ndarray,
    bounds: np.ndarray,
    shape: tuple[int, int, int],
) -> np.ndarray:
    """Returns the soft volume (D, H, W) float32 between the front and the back, inside the rim."""
    scale = np.float32(np.linalg.det(transform[:, :3]) ** (1 / 3))
    box, (x, y, z) = head_coordinates(bounds, transform, shape, margin=1)
    distance = (z - np.float32(back)) * scale
    part = distance > -_SOFT_WIDTH
    cells = [(y[part] - _LOW[1]) / _STEP[1], (x[part] - _LOW[0]) / _STEP[0]]
    height = _at_cells(front, cells, mode="nearest")
    distance[part] = np.minimum(distance[part], (height - z[part]) * scale)
    distance[part] = np.minimum(distance[part], _at_cells(rim, cells, mode="constant") * scale)
    volume = np.zeros(shape, np.float32)
    volume[box] = np.clip(0.5 + distance / _SOFT_WIDTH, 0, 1)
    return volume


def _at_cells(values: np.ndarray, cells: list[np.ndarray], mode: str) -> np.ndarray:
    """Returns the values at fractional rows and columns, bilinearly; far outside -1 if constant."""
    interpolated: np.ndarray = ndimage.map_coordinates(
        values.astype(np.float32), cells, order=1, mode=mode, cval=-1.0, prefilter=False
    )
    return interpolated
