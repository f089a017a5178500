"""Colours of a synthetic head, per vertex, including its lighting."""

import itertools
from functools import cache
from typing import NamedTuple

import numpy as np

from rayboot.geometry.head_model import HeadModel, load_head_model
from rayboot.geometry.isosurface import vertex_normals
from rayboot.synthesis.neighbours import neighbour_mean
from rayboot.synthesis.sampling import FaceSample

__all__ = ["FaceRegions", "face_regions", "hair_fraction", "paint_head", "smooth_noise"]

_BROWS = (range(17, 22), range(22, 27))
_BROW_WIDTH = 0.055
_CHEEKS = (31, 35)
_EYE_WHITE = np.array([0.62, 0.58, 0.56])
"""Reflectance of the white of an eye, which lids and lashes shade."""

_LONG_HAIR = 0.8
"""Length from which on hair covers the nape, outer eye distances."""

_NUM_RINGS = 12
"""Rings of neighbours about a vertex that count as its surroundings."""

_DEEP_HOLLOW = 0.06
"""Depth below the surroundings at which a hollow is darkest, as a fraction of the outer eye
distance."""


class FaceRegions(NamedTuple):
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
def face_regions() -> FaceRegions:
    """Returns the regions of the mean head; computed once per process."""
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
    return FaceRegions(
        scalp=scalp * skin,
        brow=brow * skin,
        beard=beard * skin,
        blush=np.clip(blush, 0, 1) * skin,
        lashes=masks["eyelids"] * skin,
        left_eye=eyes & (mean[:, 0] < 0),
        right_eye=eyes & (mean[:, 0] > 0),
    )


def paint_head(
    vertices: np.ndarray,
    sample: FaceSample,
    model: HeadModel,
    shadow: np.ndarray | None = None,
) -> np.ndarray:
    """Returns the colours (N, 3) uint8 of a head under its light.

    Args:
        vertices: (N, 3), in the photo's pose, because the light does not turn with the head.
        sample: appearance and light.
        model: head model.
        shadow: (N,) fraction of the first light that does not arrive; None where all does.
    """
    lighting, normals = sample.lighting, vertex_normals(vertices, model.faces)
    hollow = _hollowness(vertices, normals, model)
    shade = lighting.ambient * (1 - lighting.occlusion * hollow)[:, None]
    # Shadows are those of the first light.
    arriving = np.ones(len(vertices)) if shadow is None else 1 - _soften(shadow)
    for index, light in enumerate(lighting.lights):
        falling = np.clip(normals @ light.direction, 0, None) * (1 if index else arriving)
        shade = shade + falling[:, None] * light.color
    # Little light reaches cavities such as the mouth.
    shade = shade * (1 - 0.75 * model.masks["inside"])[:, None]
    half = lighting.lights[0].direction + np.array([0.0, 0.0, 1.0])
    gloss = np.clip(normals @ (half / np.linalg.norm(half)), 0, 1) ** 24
    shine = lighting.gloss * gloss * arriving * (1 - 0.7 * face_regions().scalp)
    colors = _albedo(sample, model) * shade + shine[:, None]
    return np.asarray(np.clip(np.rint(255 * colors), 0, 255), np.uint8)


def _soften(shadow: np.ndarray) -> np.ndarray:
    """Returns values (N,) averaged over neighbouring vertices."""
    return np.asarray(neighbour_mean() @ shadow)


def _hollowness(vertices: np.ndarray, normals: np.ndarray, model: HeadModel) -> np.ndarray:
    """Returns how deep each vertex lies in a hollow, (N,) from 0 to 1: little light gets there.

    The depth is that below the mean of the surroundings, such as beside the nose and in the eye
    sockets.
    """
    smooth: np.ndarray = vertices.astype(np.float64)
    for _ in range(_NUM_RINGS):
        smooth = neighbour_mean() @ smooth
    depth = np.einsum("ij,ij->i", smooth - vertices, normals)
    unit = np.linalg.norm(np.subtract(*vertices[model.landmarks[[36, 45]]]))
    return _ramp(depth / unit, 0.0, _DEEP_HOLLOW)


def _albedo(sample: FaceSample, model: HeadModel) -> np.ndarray:
    appearance, regions = sample.appearance, face_regions()
    rng = np.random.default_rng(sample.texture_seed)
    count = len(model.mean)
    color = (
        np.tile(appearance.skin, (count, 1))
        * (1 + 0.05 * smooth_noise(rng, model.mean, 4.0))[:, None]
    )
    # Pores and blotches, from a generator of their own.
    color = color * _skin_texture(np.random.default_rng(sample.texture_seed + 4), model)
    color = color * (1 - 0.12 * appearance.freckles * (rng.random(count) < 0.2))[:, None]
    color = _blend(
        color, appearance.skin * [1.12, 0.78, 0.74], 0.5 * appearance.blush * regions.blush
    )
    color = _blend(color, appearance.lips, 0.9 * model.masks["lips"])
    stubble = appearance.beard * regions.beard * (0.8 + 0.2 * smooth_noise(rng, model.mean, 9.0))
    color = _blend(color, 0.6 * appearance.hair + 0.1 * appearance.skin, stubble)
    color = _blend(color, 0.5 * appearance.hair, 0.45 * regions.lashes)
    color = _blend(color, 0.8 * appearance.hair, 0.6 * appearance.brow * regions.brow)
    if not appearance.baldness:
        strands = 1 + 0.25 * smooth_noise(rng, model.mean * [3.0, 1.0, 1.0], 8.0)
        color = _blend(color, appearance.hair * strands[:, None], hair_fraction(sample, model))
    color = _blend(color, np.array([0.25, 0.08, 0.08]), 0.9 * model.masks["inside"])
    for eye in (regions.left_eye, regions.right_eye):
        color[eye] = _eye_white(model.mean[eye])
    return np.clip(color, 0, 1)


def _skin_texture(rng: np.random.Generator, model: HeadModel) -> np.ndarray:
    """Draws factors (N, 3) of the skin's colour: blotches, redder spots and pores."""
    count = len(model.mean)
    blotches = 0.04 * smooth_noise(rng, model.mean, 13.0) + 0.035 * rng.normal(0, 1, count)
    redness = rng.uniform(0, 0.06) * smooth_noise(rng, model.mean, 6.0)
    return np.asarray((1 + blotches)[:, None] * (1 + np.outer(redness, [1.0, -0.7, -0.7])))


def _eye_white(points: np.ndarray) -> np.ndarray:
    """Returns the colours (M, 3) of the white of an eye, whose upper part the lid shades."""
    height = points[:, 1] - points[:, 1].mean()
    return np.asarray((1 - 0.4 * _ramp(height, -0.06, 0.09))[:, None] * _EYE_WHITE)


def hair_fraction(sample: FaceSample, model: HeadModel) -> np.ndarray:
    """Returns the fraction of hair at each vertex, (N,); the hairline depends on the person."""
    appearance = sample.appearance
    fraction = np.clip(
        face_regions().scalp + 2.5 * appearance.hairline * (model.mean[:, 1] > 0.5), 0, 1
    )
    if appearance.hair_length < _LONG_HAIR:
        # The nape is bare below the ears.
        fraction = fraction * _ramp(model.mean[:, 1], -0.45, -0.2)
    return np.asarray(_ramp(fraction, 0.35, 0.65) * (1 - model.masks["ears"]))


def smooth_noise(rng: np.random.Generator, points: np.ndarray, frequency: float) -> np.ndarray:
    """Returns smooth noise (N,) of about unit amplitude: waves in random directions."""
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
