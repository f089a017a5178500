"""Hands and objects before a synthetic face: fingers, microphones, phones and cups."""

import numpy as np

from rayboot.geometry.camera import rotation_in_plane
from rayboot.geometry.head_model import HeadModel
from rayboot.synthesis.accessories import HeldObject
from rayboot.synthesis.surfaces import Surface, build_sheet, build_tube, join_surfaces

__all__ = ["build_held_object"]

_FINGER_RADIUS = 0.095
_FINGER_LENGTHS = (0.62, 0.78, 0.84, 0.76)
_PALM_WIDTH, _PALM_LENGTH = 0.36, 0.62


def build_held_object(
    head: np.ndarray,
    held: HeldObject,
    skin: np.ndarray,
    model: HeadModel,
    rng: np.random.Generator,
) -> Surface:
    """Returns a hand or object before the face, in the head's frame.

    Args:
        head: (N, 3) vertices in the head's frame.
        held: kind, place and size.
        skin: (3,) reflectance of hands.
        model: head model.
        rng: random generator of details.
    """
    points = head[model.landmarks].astype(np.float64)
    mouth, chin = points[48:68].mean(axis=0), points[8]
    if held.kind == "hand":
        parts, tilt = _hand(held.curl, skin, rng), held.side * (0.5 + held.tilt)
        # Fingertips touch cheek or chin.
        place = np.array([held.side * 0.42, chin[1] - 0.05, chin[2] - 0.02])
    elif held.kind == "microphone":
        parts, tilt = _microphone(held.color, rng), held.side * (0.35 + held.tilt)
        place = np.array([0.1 * held.side, mouth[1] - 0.42, mouth[2] + 0.22])
    elif held.kind == "phone":
        parts, tilt = _phone(held.color, skin, rng), held.side * (0.15 + 0.5 * held.tilt)
        place = np.array([held.side * 0.95, -0.45, -0.15])
    else:
        parts, tilt = _cup(held.color, skin, held.side, rng), 0.3 * held.tilt
        place = np.array([0.0, mouth[1] - 0.35, mouth[2] + 0.36])
    surface = join_surfaces(parts)
    turn = rotation_in_plane(tilt) * held.size
    vertices = surface.vertices @ turn.T + place + held.place
    return surface._replace(vertices=vertices, colors=np.clip(surface.colors, 0, 1))


def _finger(
    root: np.ndarray, direction: np.ndarray, length: float, curl: float, skin: np.ndarray
) -> Surface:
    """Returns a finger of three joints that bends towards -z, with a rounded tip and a nail."""
    bend = np.cumsum([0.0, 0.0, 0.5, 0.9, 0.9, 0.6, 0.6, 0.3, 0.0, 0.0]) * curl * 0.35
    steps = np.cos(bend)[:, None] * direction + np.sin(bend)[:, None] * np.array([0.0, 0.0, -1.0])
    spacing = np.array([0.0, 0.2, 0.14, 0.14, 0.14, 0.12, 0.1, 0.08, 0.05, 0.03])
    path = root + length * np.cumsum(spacing[:, None] * steps, axis=0)
    shape = np.array([1.0, 1.02, 1.08, 0.98, 0.92, 0.96, 0.86, 0.76, 0.5, 0.05])
    tube = build_tube(path, _FINGER_RADIUS * shape, skin, 0.08)
    # Knuckles and tips are redder, the sides of fingers darker.
    red = np.repeat(np.exp(-np.square((np.arange(10) - [[2.0], [5.0], [8.5]]) / 0.8)).sum(0), 7)
    colors = tube.colors * (1 + red[:, None] * np.array([0.02, -0.1, -0.1]))
    side = np.abs(np.tile(np.cos(np.linspace(0, 2 * np.pi, 7)), 10))
    return tube._replace(colors=colors * (1 - 0.12 * side)[:, None])


def _palm(skin: np.ndarray, rng: np.random.Generator) -> Surface:
    """Returns the back of a hand with its wrist and forearm, along y."""
    along = np.array([0.06, 0.0, -0.12, -0.3, -0.5, -0.66, -0.8, -1.2, -1.9])
    width = np.array([0.3, 0.36, 0.38, 0.38, 0.34, 0.27, 0.24, 0.27, 0.34])
    depth = np.array([0.04, 0.1, 0.13, 0.15, 0.15, 0.14, 0.14, 0.17, 0.22])
    angle = np.linspace(0, 2 * np.pi, 17)
    points = np.stack(
        [
            width[:, None] * np.cos(angle),
            along[:, None] * np.ones(17),
            depth[:, None] * np.sin(angle),
        ],
        axis=-1,
    )
    tendons = 1 + 0.06 * np.cos(points[..., :1] * 26) * (along > -0.5)[:, None, None]
    return build_sheet(points, skin * tendons * rng.uniform(0.95, 1.0), 0.06)


def _hand(curl: float, skin: np.ndarray, rng: np.random.Generator) -> list[Surface]:
    """Returns a hand whose fingers point up and whose back faces the camera."""
    parts = [_palm(skin, rng)]
    spread = rng.uniform(0.02, 0.14)
    for index, length in enumerate(_FINGER_LENGTHS):
        x = (index - 1.5) * 0.19
        direction = np.array([np.sin((index - 1.5) * spread), np.cos((index - 1.5) * spread), 0.0])
        bend = np.clip(curl + rng.normal(0, 0.08), 0, 1)
        parts.append(_finger(np.array([x, -0.13, 0.0]), direction, length, bend, skin))
    thumb = np.array([0.75, 0.62, 0.2]) / np.linalg.norm([0.75, 0.62, 0.2])
    parts.append(_finger(np.array([0.2, -0.5, 0.02]), thumb, 0.62, 0.5 * curl, skin))
    return parts


def _microphone(color: np.ndarray, rng: np.random.Generator) -> list[Surface]:
    """Returns a microphone that points up."""
    angle = np.linspace(-1.3, np.pi / 2, 12)
    grey = rng.choice([0.03, 0.04, 0.35])
    foam = build_tube(
        np.column_stack([0 * angle, 0.19 * np.sin(angle), 0 * angle]),
        0.18 * np.cos(angle).clip(0.01),
        np.full(3, grey),
    )
    foam = foam._replace(colors=foam.colors * rng.uniform(0.6, 1.4, (len(foam.vertices), 1)))
    handle = np.column_stack([np.zeros(6), np.linspace(-0.16, -2.2, 6), np.zeros(6)])
    body = build_tube(handle, np.linspace(0.1, 0.07, 6), np.minimum(color, 0.12), 0.3)
    return [foam, body]


def _phone(color: np.ndarray, skin: np.ndarray, rng: np.random.Generator) -> list[Surface]:
    """Returns a phone seen from its side or back, and the fingers around it."""
    half_width, half_height, thickness = 0.38, 0.78, 0.07
    angle = np.linspace(0, 2 * np.pi, 33)
    outline = np.column_stack(
        [
            half_width * np.sign(np.cos(angle)) * np.abs(np.cos(angle)) ** 0.3,
            half_height * np.sign(np.sin(angle)) * np.abs(np.sin(angle)) ** 0.3,
        ]
    )
    rows = [(0.0, 0.0), (0.9, 0.0), (1.0, -0.02), (1.0, -thickness)]
    points = np.stack([np.column_stack([s * outline, np.full(33, z)]) for s, z in rows])
    body = build_sheet(points, np.minimum(color, 0.5), 0.3)
    parts = [body]
    for index, length in enumerate(_FINGER_LENGTHS):
        root = np.array([0.62, 0.1 - 0.2 * index, 0.02])
        direction = np.array([-1.0, rng.normal(0.1, 0.05), 0.12])
        parts.append(_finger(root, direction, length * 0.9, 0.25, skin))
    palm = _palm(skin, rng)
    shifted = palm.vertices * [0.6, 1.0, 1.0] + [0.62, -0.2, -0.12]
    return [*parts, palm._replace(vertices=shifted)]


def _cup(
    color: np.ndarray, skin: np.ndarray, side: float, rng: np.random.Generator
) -> list[Surface]:
    """Returns a cup before the mouth, held by a hand from the side."""
    heights = np.array([-0.5, -0.5, -0.45, 0.3, 0.32, 0.3])
    radii = np.array([0.02, 0.26, 0.28, 0.36, 0.35, 0.33])
    angle = np.linspace(0, 2 * np.pi, 25)
    points = np.stack(
        [
            radii[:, None] * np.cos(angle),
            heights[:, None] * np.ones(25),
            -radii[:, None] * np.sin(angle),
        ],
        axis=-1,
    )
    parts = [build_sheet(points, color + 0.2, 0.2)]
    for index, length in enumerate(_FINGER_LENGTHS):
        root = np.array([side * 0.5, 0.16 - 0.18 * index, 0.12])
        direction = np.array([-side * 0.9, 0.05, 0.42])
        parts.append(_finger(root, direction, length * 0.75, rng.uniform(0.7, 1.0), skin))
    palm = _palm(skin, rng)
    lean = rotation_in_plane(side * 0.7)
    return [*parts, palm._replace(vertices=palm.vertices @ lean.T + [side * 0.58, 0.0, 0.05])]
