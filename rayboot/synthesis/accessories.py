"""Things that a person wears or holds before the face, and how they are drawn at random."""

from typing import Literal, NamedTuple

import numpy as np

__all__ = [
    "Glasses",
    "Headwear",
    "HeldObject",
    "draw_glasses",
    "draw_headwear",
    "draw_held_object",
    "draw_sunglasses",
]

HeadwearKind = Literal["beanie", "cap", "brimmed", "scarf"]
ObjectKind = Literal["hand", "microphone", "phone", "cup"]

_GLASSES_FRACTION, _SUNGLASSES_FRACTION = 0.2, 0.04
_HEADWEAR_FRACTION, _OBJECT_FRACTION = 0.12, 0.1

_FRAME_COLORS = np.array(
    [[0.03, 0.03, 0.03], [0.18, 0.1, 0.06], [0.45, 0.4, 0.33], [0.5, 0.42, 0.2], [0.3, 0.05, 0.06]]
)
_FRAME_ODDS = (0.45, 0.2, 0.17, 0.1, 0.08)


class Glasses(NamedTuple):
    """Glasses; lengths are outer eye distances.

    Attributes:
        half_width: half the width of a lens.
        half_height: half the height of a lens.
        squareness: exponent of the outline, from 2 of an ellipse to 5 of a rectangle.
        taper: fraction by which a lens is narrower at its lower end.
        thickness: radius of the frame; that of the lower rim is zero where ``has_rim`` is false.
        has_rim: whether the frame goes around the whole lens.
        color: (3,) reflectance of the frame.
        tint: (3,) reflectance of the lenses.
        opacity: fraction of the light that the lenses absorb, from 0 to 1.
        glare: strength of the reflections in the lenses, from 0 to 1.
        slip: distance by which the glasses have slid down the nose.
    """

    half_width: float
    half_height: float
    squareness: float
    taper: float
    thickness: float
    has_rim: bool
    color: np.ndarray
    tint: np.ndarray
    opacity: float
    glare: float
    slip: float


class Headwear(NamedTuple):
    """A hat, cap or headscarf; lengths are outer eye distances.

    Attributes:
        kind: kind of headwear.
        color: (3,) reflectance of the cloth.
        trim: (3,) reflectance of its visor, band or cuff.
        brow_height: height of its lower edge above the brows.
        crown: height above the head.
        brim: width of a brim or visor.
        turn: angle about the vertical axis, rad.
        pattern: contrast of the cloth's pattern, from 0 to 1.
    """

    kind: HeadwearKind
    color: np.ndarray
    trim: np.ndarray
    brow_height: float
    crown: float
    brim: float
    turn: float
    pattern: float


class HeldObject(NamedTuple):
    """A hand or an object before the face; lengths are outer eye distances.

    Attributes:
        kind: kind of object.
        place: (3,) offset from the usual place of its kind.
        side: -1 for the image's left half of an upright face, 1 for its right half.
        tilt: angle in the plane of the face from the usual direction of its kind, rad.
        size: size relative to the usual.
        color: (3,) reflectance, not used for hands.
        curl: how far fingers are bent, from 0 to 1.
    """

    kind: ObjectKind
    place: np.ndarray
    side: float
    tilt: float
    size: float
    color: np.ndarray
    curl: float


def draw_glasses(rng: np.random.Generator) -> Glasses | None:
    """Draws a person's glasses; most people have none."""
    has_any = rng.random() < _GLASSES_FRACTION
    is_thick = rng.random() < 0.5
    tint = rng.uniform(0.1, 0.6, 3)
    drawn = Glasses(
        half_width=float(rng.uniform(0.24, 0.31)),
        half_height=float(rng.uniform(0.15, 0.25)),
        squareness=float(rng.choice([2.0, 2.6, 3.4, 4.5])),
        taper=float(rng.choice([0.0, rng.uniform(0.05, 0.3)])),
        thickness=float(rng.uniform(0.02, 0.032) if is_thick else rng.uniform(0.008, 0.014)),
        has_rim=bool(rng.random() < 0.8),
        color=_FRAME_COLORS[rng.choice(len(_FRAME_COLORS), p=_FRAME_ODDS)]
        * rng.uniform(0.7, 1.3, 3),
        tint=tint,
        opacity=float(rng.choice([rng.uniform(0.0, 0.1), rng.uniform(0.2, 0.5)], p=[0.85, 0.15])),
        glare=float(rng.choice([0.0, rng.uniform(0.1, 0.6)])),
        slip=float(rng.choice([0.0, rng.uniform(0, 0.12)])),
    )
    return drawn if has_any else None


def draw_sunglasses(rng: np.random.Generator) -> Glasses | None:
    """Draws the sunglasses of a photo; in most photos there are none."""
    has_any = rng.random() < _SUNGLASSES_FRACTION
    shape = draw_glasses(rng)
    while shape is None:
        shape = draw_glasses(rng)
    dark = rng.uniform(0.01, 0.06) * rng.uniform(0.6, 1.4, 3)
    drawn = shape._replace(
        half_width=float(rng.uniform(0.28, 0.33)),
        half_height=float(rng.uniform(0.19, 0.28)),
        tint=dark,
        opacity=float(rng.uniform(0.8, 0.98)),
        glare=float(rng.uniform(0.1, 0.6)),
    )
    return drawn if has_any else None


def draw_headwear(rng: np.random.Generator) -> Headwear | None:
    """Draws the headwear of a photo; in most photos there is none."""
    has_any = rng.random() < _HEADWEAR_FRACTION
    kinds: tuple[HeadwearKind, ...] = ("beanie", "cap", "brimmed", "scarf")
    grey = rng.uniform(0.03, 0.75)
    color = np.clip(grey + rng.normal(0, rng.choice([0.02, 0.15]), 3), 0.02, 0.9)
    is_plain = rng.random() < 0.6
    drawn = Headwear(
        kind=kinds[rng.choice(4, p=[0.3, 0.36, 0.19, 0.15])],
        color=color,
        trim=color * rng.uniform(0.7, 1.1) if is_plain else rng.uniform(0.03, 0.8, 3),
        brow_height=float(rng.uniform(0.15, 0.42)),
        crown=float(rng.uniform(0.05, 0.3)),
        brim=float(rng.uniform(0.35, 0.65)),
        turn=float(rng.normal(0, 0.15)),
        pattern=float(rng.choice([rng.uniform(0, 0.1), rng.uniform(0.1, 0.5)])),
    )
    return drawn if has_any else None


def draw_held_object(rng: np.random.Generator) -> HeldObject | None:
    """Draws the hand or object before the face in a photo; in most photos there is none."""
    has_any = rng.random() < _OBJECT_FRACTION
    kinds: tuple[ObjectKind, ...] = ("hand", "microphone", "phone", "cup")
    drawn = HeldObject(
        kind=kinds[rng.choice(4, p=[0.5, 0.25, 0.13, 0.12])],
        place=rng.normal(0, 1, 3) * [0.14, 0.14, 0.05],
        side=float(rng.choice([-1.0, 1.0])),
        tilt=float(rng.normal(0, 0.3)),
        size=float(rng.uniform(0.88, 1.15)),
        color=rng.uniform(0.02, 0.2) + rng.choice([0.0, 0.6]) * rng.uniform(0, 1, 3),
        curl=float(rng.uniform(0.1, 1.0)),
    )
    return drawn if has_any else None
