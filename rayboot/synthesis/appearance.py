"""Hair and colours of a synthetic head, per vertex, including its lighting."""

import itertools
from functools import cache
from typing import NamedTuple

import numpy as np

from rayboot.geometry.head_model import HeadModel, load_head_model
from rayboot.geometry.isosurface import vertex_normals
from rayboot.synthesis.sampling import FaceSample

__all__ = ["grow_hair", "paint_head"]

_BROWS = (range(17, 22), range(22, 27))
_BROW_WIDTH = 0.055
_IRIS, _PUPIL = 0.085, 0.035
_CHEEKS = (31, 35)


class _Regions(NamedTuple):
    """Regions of the mean head that get a colour of their own.

    Each is (N,), from 0 to 1; ``left_eye`` and ``right_eye`` are bool.
    """

    scalp: np.ndarray
    brow: np.ndarray
    beard: np.ndarray
    blush: np.ndarray
    lashes: np.ndarray
    left_eye: np.ndarray
    right_eye: np.ndarray


@cache
def _regions() -> _Regions:
    model = load_head_model()
    mean, masks = model.mean, model.masks
    points = mean[model.landmarks]
    skin = (1 - masks["eyes"]) * (1 - masks["inside"])
    # Hair grows behind the face and above the neck.
    behind = (1 - masks["face"]) * (masks["ears"] < 0.2)
    scalp = np.clip(behind + _ramp(mean[:, 1], 0.62, 0.85), 0, 1) * _ramp(mean[:, 1], -0.75, -0.5)
    brow = np.zeros(len(mean))
    for indices in _BROWS:
        distance = _distance_to_line(mean, points[list(indices)])
        brow = np.maximum(brow, np.exp(-np.square(distance / _BROW_WIDTH)))
    below_nose = points[33, 1]
    beard = _ramp(-mean[:, 1], -below_nose, -below_nose + 0.12) * masks["face"]
    beard = beard * (1 - masks["lips"]) * _ramp(mean[:, 1], -1.3, -1.15)
    blush = sum(
        np.exp(-np.square(np.linalg.norm(mean - points[index] - offset, axis=1) / 0.22))
        for index, offset in zip(_CHEEKS, ([-0.22, 0.08, -0.1], [0.22, 0.08, -0.1]), strict=True)
    )
    eyes = masks["eyes"] > 0.5
    return _Regions(
        scalp=scalp * skin,
        brow=brow * skin,
        beard=beard * skin,
        blush=np.clip(blush, 0, 1) * skin,
        lashes=masks["eyelids"] * skin,
        left_eye=eyes & (mean[:, 0] < 0),
        right_eye=eyes & (mean[:, 0] > 0),
    )


def grow_hair(vertices: np.ndarray, sample: FaceSample, model: HeadModel) -> np.ndarray:
    """Moves scalp vertices outward by the thickness of the hair; returns (N, 3) float32."""
    appearance = sample.appearance
    if appearance.baldness:
        return vertices
    rng = np.random.default_rng(sample.texture_seed)
    scalp = _hair_fraction(sample, model)
    normals = vertex_normals(vertices, model.faces)
    waves = 1 + 0.35 * _noise(rng, model.mean, 6.0)
    thickness = appearance.hair_volume * waves
    if appearance.long_hair:
        thickness = thickness + 0.18 * _ramp(-model.mean[:, 1], -0.1, 0.6) * (
            model.mean[:, 2] < -0.3
        )
    return np.asarray(vertices + (scalp * thickness)[:, None] * normals, np.float32)


def paint_head(vertices: np.ndarray, sample: FaceSample, model: HeadModel) -> np.ndarray:
    """Returns the colours (N, 3) uint8 of a head under its light.

    Args:
        vertices: (N, 3), in the photo's pose, because the light does not turn with the head.
        sample: appearance and light.
        model: head model.
    """
    albedo = _albedo(sample, model)
    light = sample.light
    normals = vertex_normals(vertices, model.faces)
    direct = np.clip(normals @ light.direction, 0, None)
    half = light.direction + np.array([0.0, 0.0, 1.0])
    gloss = np.clip(normals @ (half / np.linalg.norm(half)), 0, 1) ** 24
    shine = light.gloss * gloss * (1 - 0.7 * _regions().scalp)
    shade = light.ambient + light.strength * direct
    # Little light reaches cavities such as the mouth.
    shade = shade * (1 - 0.75 * model.masks["inside"])
    colors = albedo * shade[:, None] * light.tint + shine[:, None]
    return np.asarray(np.clip(np.rint(255 * colors), 0, 255), np.uint8)


def _albedo(sample: FaceSample, model: HeadModel) -> np.ndarray:
    appearance, regions = sample.appearance, _regions()
    rng = np.random.default_rng(sample.texture_seed)
    count = len(model.mean)
    color = (
        np.tile(appearance.skin, (count, 1)) * (1 + 0.05 * _noise(rng, model.mean, 4.0))[:, None]
    )
    color = color * (1 - 0.12 * appearance.freckles * (rng.random(count) < 0.2))[:, None]
    color = _blend(
        color, appearance.skin * [1.12, 0.78, 0.74], 0.5 * appearance.blush * regions.blush
    )
    color = _blend(color, appearance.lips, 0.9 * model.masks["lips"])
    stubble = appearance.beard * regions.beard * (0.8 + 0.2 * _noise(rng, model.mean, 9.0))
    color = _blend(color, 0.6 * appearance.hair + 0.1 * appearance.skin, stubble)
    color = _blend(color, 0.5 * appearance.hair, 0.45 * regions.lashes)
    color = _blend(color, 0.8 * appearance.hair, appearance.brow * regions.brow)
    if not appearance.baldness:
        strands = 1 + 0.25 * _noise(rng, model.mean * [3.0, 1.0, 1.0], 8.0)
        color = _blend(color, appearance.hair * strands[:, None], _hair_fraction(sample, model))
    color = _blend(color, np.array([0.25, 0.08, 0.08]), 0.9 * model.masks["inside"])
    for eye in (regions.left_eye, regions.right_eye):
        _paint_eye(color, eye, model.mean, appearance.iris)
    return np.clip(color, 0, 1)


def _paint_eye(color: np.ndarray, eye: np.ndarray, mean: np.ndarray, iris: np.ndarray) -> None:
    """Colours white, iris and pupil of one eye, in place."""
    points = mean[eye]
    front = points[points[:, 2] > np.quantile(points[:, 2], 0.6)].mean(axis=0)
    # Iris and pupil are discs about the front of the eyeball.
    radius = np.linalg.norm((points - front)[:, :2], axis=1)
    white = np.array([0.86, 0.84, 0.82])
    painted = _blend(
        np.tile(white, (len(points), 1)), iris, 1 - _ramp(radius, _IRIS - 0.02, _IRIS + 0.02)
    )
    color[eye] = _blend(painted, np.full(3, 0.03), 1 - _ramp(radius, _PUPIL, _PUPIL + 0.03))


def _hair_fraction(sample: FaceSample, model: HeadModel) -> np.ndarray:
    """Fraction of hair at each vertex, (N,); the hairline depends on the person."""
    appearance = sample.appearance
    fraction = np.clip(
        _regions().scalp + 2.5 * appearance.hairline * (model.mean[:, 1] > 0.5), 0, 1
    )
    if not appearance.long_hair:
        # The nape is bare below the ears.
        fraction = fraction * _ramp(model.mean[:, 1], -0.45, -0.2)
    return np.asarray(_ramp(fraction, 0.35, 0.65) * (1 - model.masks["ears"]))


def _noise(rng: np.random.Generator, points: np.ndarray, frequency: float) -> np.ndarray:
    """Smooth noise (N,) of about unit amplitude: the sum of waves in random directions."""
    waves = rng.normal(0, frequency, (6, 3))
    phases = rng.uniform(0, 2 * np.pi, 6)
    return np.asarray(np.sin(points @ waves.T + phases).mean(axis=1) * 1.7)


def _blend(base: np.ndarray, over: np.ndarray, opacity: np.ndarray) -> np.ndarray:
    weight = np.asarray(opacity)[:, None]
    return np.asarray(base * (1 - weight) + over * weight)


def _ramp(values: np.ndarray, low: float, high: float) -> np.ndarray:
    return np.clip((values - low) / (high - low), 0, 1)


def _distance_to_line(points: np.ndarray, line: np.ndarray) -> np.ndarray:
    """Distance (N,) of points to a polyline (K, 3)."""
    best = np.full(len(points), np.inf)
    for start, end in itertools.pairwise(line):
        along = end - start
        position = np.clip((points - start) @ along / (along @ along), 0, 1)
        offset = points - start - position[:, None] * along
        best = np.minimum(best, np.linalg.norm(offset, axis=1))
    return best
