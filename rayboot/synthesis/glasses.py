"""Glasses on a synthetic head: a frame fitted to eyes, nose and ears, and lenses."""

import cv2
import numpy as np

from rayboot.geometry.head_model import HeadModel
from rayboot.geometry.mesh import Mesh
from rayboot.synthesis.accessories import Glasses
from rayboot.synthesis.surfaces import Surface, build_sheet, build_tube, join_surfaces

__all__ = ["build_frame", "build_lenses", "lens_outlines", "look_through_lenses"]

_NUM_POINTS = 32
"""Points of a lens's outline."""

_MIN_BRIDGE = 0.07
"""Smallest half distance between the lenses."""

_DARK_LENS = 0.7
"""Opacity from which on nothing is seen through a lens."""

_LENS_CELLS = 64
"""Cells along each side of the mask of a lens."""

_GAP = 0.035
"""Distance of the lenses from brows, eyes and nose."""


def lens_outlines(head: np.ndarray, glasses: Glasses, model: HeadModel) -> np.ndarray:
    """Returns the outlines (2, P, 3) of both lenses in the head's frame, the image's left first.

    Args:
        head: (N, 3) vertices in the head's frame.
        glasses: shape of the glasses.
        model: head model.
    """
    points = head[model.landmarks].astype(np.float64)
    middle = points[27, 0]
    across = np.abs([points[36:42, 0].mean() - middle, points[42:48, 0].mean() - middle]).mean()
    # Pupils are a little above and to the inside of the middle of the lenses.
    centre_x = max(across * 1.03, glasses.half_width + _MIN_BRIDGE)
    centre_y = points[36:48, 1].mean() - 0.04 - glasses.slip
    angle = np.linspace(0, 2 * np.pi, _NUM_POINTS)
    power = 2 / glasses.squareness
    x = glasses.half_width * np.sign(np.cos(angle)) * np.abs(np.cos(angle)) ** power
    y = glasses.half_height * np.sign(np.sin(angle)) * np.abs(np.sin(angle)) ** power
    x = x * (1 - glasses.taper * np.clip(0.4 - y / glasses.half_height, 0, None) / 1.4)
    right = np.column_stack([middle + centre_x + x, centre_y + y])
    left = np.column_stack([middle - centre_x - x, centre_y + y])
    outlines = np.stack([left, right])
    offset = outlines[..., :1] - middle
    # Lenses are curved around the face, and their lower ends are closer to it.
    depth = -0.16 * offset**2 + 0.12 * (outlines[..., 1:] - centre_y)
    front = head[_is_before_lens(head, middle, centre_x, centre_y, glasses)]
    x_front, y_front, z_front = front.astype(np.float64).T
    needed = z_front + 0.16 * (x_front - middle) ** 2 - 0.12 * (y_front - centre_y)
    return np.concatenate([outlines, depth + np.quantile(needed, 0.985) + _GAP], axis=-1)


def _is_before_lens(
    head: np.ndarray, middle: float, centre_x: float, centre_y: float, glasses: Glasses
) -> np.ndarray:
    """Returns which vertices (N,) of eyes and brows the lenses have to clear."""
    x, y = np.abs(head[:, 0] - middle), head[:, 1] - centre_y
    inside = np.abs(x - centre_x) < 0.9 * glasses.half_width
    return np.asarray(
        inside & (np.abs(y) < 0.8 * glasses.half_height) & (head[:, 2] > -0.3) & (x > 0.12)
    )


def build_frame(head: np.ndarray, glasses: Glasses, model: HeadModel) -> Surface:
    """Returns the frame: rims, bridge, and arms to the ears.

    Args:
        head: (N, 3) vertices in the head's frame.
        glasses: shape of the glasses.
        model: head model.
    """
    outlines = lens_outlines(head, glasses, model)
    radius, color = glasses.thickness, glasses.color
    gloss = 0.25 if radius < 0.016 else 0.12
    parts = []
    for outline in outlines:
        is_upper = outline[:, 1] >= np.median(outline[:, 1])
        thickness = radius * np.where(is_upper, 1.15, 1.0 if glasses.has_rim else 0.0)
        parts.append(build_tube(outline, thickness, color, gloss))
    parts.append(build_tube(_bridge(outlines), radius * 1.1, color, gloss))
    for side in (0, 1):
        parts.append(_arm(head, outlines[side], glasses, model, 2.0 * side - 1))
    return join_surfaces(parts)


def _bridge(outlines: np.ndarray) -> np.ndarray:
    """Returns the path (9, 3) between the inner ends of the lenses, bent up and forward."""
    inner = []
    for outline, sign in zip(outlines, (1.0, -1.0), strict=True):
        upper = outline[outline[:, 1] > np.quantile(outline[:, 1], 0.6)]
        inner.append(upper[(sign * upper[:, 0]).argmax()])
    along = np.linspace(0, 1, 9)[:, None]
    arch = np.sin(np.pi * along) * [0.0, 0.025, 0.05]
    return np.asarray((1 - along) * inner[0] + along * inner[1] + arch)


def _arm(
    head: np.ndarray, outline: np.ndarray, glasses: Glasses, model: HeadModel, side: float
) -> Surface:
    """Returns the arm from the outer end of a lens to the ear, along the side of the head."""
    upper = outline[outline[:, 1] > np.quantile(outline[:, 1], 0.6)]
    hinge = upper[(side * upper[:, 0]).argmax()]
    ear = head[(model.masks["ears"] > 0.2) & (side * head[:, 0] > 0)].astype(np.float64)
    top = ear[ear[:, 1] > np.quantile(ear[:, 1], 0.93)].mean(axis=0)
    along = np.linspace(0, 1, 9)[1:, None]
    goal = np.array([top[0], top[1] + 0.03, top[2] + 0.1])
    path = np.concatenate([hinge[None], (1 - along) * hinge + along * goal])
    for point in path[1:]:
        near = (np.abs(head[:, 1] - point[1]) < 0.12) & (np.abs(head[:, 2] - point[2]) < 0.12)
        near &= (model.masks["ears"] < 0.2) & (side * head[:, 0] > 0)
        reach = (side * head[near, 0]).max() if near.any() else 0.0
        point[0] = side * max(side * point[0], reach + 0.03)
    path[1, 0] = side * max(side * path[1, 0], side * hinge[0] + 0.04)
    rows = np.linspace(-1, 1, 3)[:, None, None] * np.array([0.0, 1.0, 0.0])
    half_height = glasses.thickness * np.linspace(1.4, 0.9, len(path))[:, None]
    return build_sheet(path[None] + rows * half_height, glasses.color, 0.1)


def build_lenses(head: np.ndarray, glasses: Glasses, model: HeadModel) -> Surface | None:
    """Returns lenses that hide the eyes; None for those that :func:`look_through_lenses` paints.

    Args:
        head: (N, 3) vertices in the head's frame.
        glasses: shape of the glasses.
        model: head model.
    """
    if glasses.opacity < _DARK_LENS:
        return None
    lenses = []
    for outline in lens_outlines(head, glasses, model):
        centre = outline.mean(axis=0) + np.array([0.0, 0.0, 0.03])
        rings = np.linspace(0.0, 1.0, 5)[:, None, None]
        points = centre + rings * (outline - centre)
        height = (points[..., 1:2] - centre[1]) / glasses.half_height
        # Lenses are darker above, and reflect the sky.
        color = glasses.tint + (1 - glasses.opacity) * (0.3 - 0.5 * height).clip(0, 1)
        slant = np.sin(3 * height + 2 * (points[..., :1] - centre[0]) / glasses.half_width)
        color = color + 0.2 * glasses.glare * slant.clip(0, 1) ** 3
        lenses.append(build_sheet(points, color, 0.4 * glasses.glare))
    return join_surfaces(lenses)


def look_through_lenses(
    mesh: Mesh, outlines: np.ndarray, glasses: Glasses, light: np.ndarray
) -> Mesh:
    """Returns a mesh whose colours behind the lenses are tinted, and covered by reflections.

    Args:
        mesh: everything behind the lenses, in the photo's frame.
        outlines: (2, P, 3) outlines of the lenses in the photo's frame.
        glasses: tint and glare of the lenses.
        light: (3,) colour of the light in the reflections.
    """
    if mesh.colors is None or glasses.opacity >= _DARK_LENS:
        return mesh
    colors = mesh.colors.astype(np.float64)
    for outline in outlines:
        low, high = outline.min(axis=0), outline.max(axis=0)
        position = (mesh.vertices - low) / np.maximum(high - low, 1e-6)
        near = np.flatnonzero(((position >= 0) & (position <= 1))[:, :2].all(axis=1))
        cells = np.zeros((_LENS_CELLS, _LENS_CELLS), np.uint8)
        contour = (outline - low)[:, :2] / np.maximum(high - low, 1e-6)[:2]
        cv2.fillPoly(cells, [np.rint(contour * (_LENS_CELLS - 1)).astype(np.int32)], 1)
        column, row = np.rint(position[near, :2] * (_LENS_CELLS - 1)).astype(int).T
        behind = near[(cells[row, column] == 1) & (mesh.vertices[near, 2] < high[2])]
        u, v = position[behind, 0], position[behind, 1]
        band = np.exp(-np.square((u + 0.6 * v - 1.1) / 0.16)) + 0.3 * v
        tinted = colors[behind] * (1 - glasses.opacity * (1 - glasses.tint))
        shine = (0.7 * glasses.glare * band.clip(0, 1))[:, None]
        colors[behind] = tinted * (1 - shine) + 255 * np.clip(light, 0, 1) * shine
    return mesh._replace(colors=np.clip(colors, 0, 255).astype(np.uint8))
