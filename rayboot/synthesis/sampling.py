"""Random draws: everything that varies between photos, drawn before a photo is rendered."""

from typing import NamedTuple

import numpy as np

from rayboot.geometry.camera import rotation_in_plane, rotation_yaw_pitch
from rayboot.geometry.head_model import HeadModel
from rayboot.synthesis.synthesis_config import SynthesisConfig, YawConfig

__all__ = ["Appearance", "FaceSample", "Light", "draw_sample", "sample_rng"]


class Appearance(NamedTuple):
    """Colours and hair of an identity.

    Colours are (3,), proportional to image values, from 0 to 1; strengths are from 0 to 1.
    """

    skin: np.ndarray
    lips: np.ndarray
    hair: np.ndarray
    iris: np.ndarray
    cloth: np.ndarray
    brow: float
    beard: float
    blush: float
    freckles: float
    baldness: float
    hairline: float
    hair_volume: float
    long_hair: float


class Light(NamedTuple):
    """A directional and an ambient light.

    Attributes:
        direction: (3,) unit vector towards the light, in the photo's frame.
        strength: strength of the directional light.
        ambient: strength of the ambient light.
        gloss: strength of specular reflections.
        tint: (3,) factors of the image's channels.
    """

    direction: np.ndarray
    strength: float
    ambient: float
    gloss: float
    tint: np.ndarray


class FaceSample(NamedTuple):
    """Random parameters of one photo.

    Attributes:
        identity: (I,) coefficients of the head model's identity, in standard deviations.
        expression: (E,) strengths of the head model's expressions.
        rotation: (3, 3), from the head's frame to the photo's.
        angles_deg: yaw, pitch and roll.
        scale: size of the face relative to the usual.
        shift: (2,) offset of the face's centre, as fractions of the photo's size.
        appearance: colours and hair.
        light: light of the scene.
        texture_seed: seed of skin texture, hair and background.
        blur: standard deviation of the blur, px.
        noise: standard deviation of the noise, on the scale of 255.
        jpeg_quality: JPEG quality, from 1 to 100.
    """

    identity: np.ndarray
    expression: np.ndarray
    rotation: np.ndarray
    angles_deg: tuple[float, float, float]
    scale: float
    shift: np.ndarray
    appearance: Appearance
    light: Light
    texture_seed: int
    blur: float
    noise: float
    jpeg_quality: int


_EXPRESSIONS = (
    {
        "mouthSmileLeft": 0.9,
        "mouthSmileRight": 0.9,
        "cheekSquintLeft": 0.5,
        "cheekSquintRight": 0.5,
    },
    {"mouthSmileLeft": 0.7, "mouthSmileRight": 0.7, "jawOpen": 0.25},
    {"jawOpen": 0.6},
    {"browInnerUp": 0.8, "eyeWideLeft": 0.6, "eyeWideRight": 0.6, "jawOpen": 0.2},
    {"browDownLeft": 0.8, "browDownRight": 0.8, "mouthPressLeft": 0.6, "mouthPressRight": 0.6},
    {"mouthFrownLeft": 0.8, "mouthFrownRight": 0.8},
    {"mouthPucker": 0.8},
    {"mouthStretchLeft": 0.7, "mouthStretchRight": 0.7},
    {"eyeSquintLeft": 0.8, "eyeSquintRight": 0.8},
    {"eyeBlinkLeft": 0.8, "eyeBlinkRight": 0.8},
)
_SKIN_TONES = np.array(
    [
        [0.30, 0.19, 0.14],
        [0.48, 0.32, 0.23],
        [0.66, 0.48, 0.36],
        [0.80, 0.61, 0.49],
        [0.90, 0.73, 0.63],
    ]
)
_HAIR_TONES = np.array(
    [
        [0.05, 0.04, 0.04],
        [0.14, 0.09, 0.06],
        [0.30, 0.19, 0.11],
        [0.55, 0.40, 0.22],
        [0.55, 0.54, 0.52],
    ]
)
_IRIS_TONES = np.array(
    [
        [0.20, 0.12, 0.07],
        [0.35, 0.24, 0.12],
        [0.30, 0.38, 0.25],
        [0.33, 0.45, 0.58],
    ]
)


def sample_rng(seed: int, key: str, index: int) -> np.random.Generator:
    """Returns the random generator of one sample, independent of other samples and workers."""
    return np.random.default_rng([seed, index, *key.encode()])


def draw_sample(config: SynthesisConfig, model: HeadModel, identity: int, photo: int) -> FaceSample:
    """Draws the parameters of photo ``photo`` of identity ``identity``.

    Shape and colours depend only on the identity; expression, pose, light and
    background on the photo.
    """
    identity_rng = sample_rng(config.seed, "identity", identity)
    rng = sample_rng(config.seed, "photo", identity * 10_000 + photo)
    index = (identity - config.first_identity) * config.photos_per_identity + photo
    yaw = _draw_yaw(rng, config.yaw, index)
    pitch = rng.uniform(-config.max_pitch_deg, config.max_pitch_deg)
    roll = rng.uniform(-config.max_roll_deg, config.max_roll_deg)
    return FaceSample(
        identity=np.clip(identity_rng.normal(0, 1, len(model.identity)), -2.5, 2.5),
        expression=_draw_expression(rng, model.expression_names),
        rotation=rotation_in_plane(np.radians(roll))
        @ rotation_yaw_pitch(np.radians(yaw), np.radians(pitch)),
        angles_deg=(float(yaw), float(pitch), float(roll)),
        scale=float(rng.uniform(0.85, 1.1)),
        shift=rng.uniform(-0.06, 0.06, 2),
        appearance=_draw_appearance(identity_rng),
        light=_draw_light(rng),
        texture_seed=int(rng.integers(2**31)),
        blur=float(rng.choice([0.0, 0.4, 0.7, 1.1], p=[0.3, 0.3, 0.25, 0.15])),
        noise=float(rng.choice([0.0, 1.5, 4.0, 7.0], p=[0.3, 0.35, 0.25, 0.1])),
        jpeg_quality=int(rng.integers(60, 97)),
    )


def _draw_yaw(rng: np.random.Generator, config: YawConfig, index: int) -> float:
    if config.kind == "steps":
        # Steps alternate instead of being drawn, so that each is equally frequent.
        step = config.steps_deg[index % len(config.steps_deg)]
        return float(step * rng.choice([-1.0, 1.0]))
    if config.kind == "uniform":
        return float(rng.uniform(-config.max_deg, config.max_deg))
    low, high = ((0, 30), (30, 60), (60, 90))[rng.choice(3, p=[0.66, 0.19, 0.15])]
    return float(min(rng.uniform(low, high), config.max_deg) * rng.choice([-1.0, 1.0]))


def _draw_expression(rng: np.random.Generator, names: tuple[str, ...]) -> np.ndarray:
    strength = np.zeros(len(names))
    if rng.random() < 0.6:
        for name, value in _EXPRESSIONS[rng.integers(len(_EXPRESSIONS))].items():
            strength[names.index(name)] += value * rng.uniform(0.3, 1.0)
    small = rng.random(len(names)) < 0.08
    strength[small] += rng.uniform(0, 0.35, small.sum())
    strength[names.index("tongueOut")] = 0.0  # the head model has no tongue
    return np.clip(strength, 0, 1)


def _draw_appearance(rng: np.random.Generator) -> Appearance:
    skin = _interpolate(rng, _SKIN_TONES) * rng.uniform(0.92, 1.08, 3)
    male = rng.random() < 0.5
    return Appearance(
        skin=np.clip(skin, 0, 1),
        lips=np.clip(skin * [1.05, 0.72, 0.72] * rng.uniform(0.85, 1.1, 3), 0, 1),
        hair=np.clip(_interpolate(rng, _HAIR_TONES) * rng.uniform(0.85, 1.15), 0, 1),
        iris=_IRIS_TONES[rng.integers(len(_IRIS_TONES))] * rng.uniform(0.8, 1.2, 3),
        cloth=rng.uniform(0.05, 0.9, 3),
        brow=float(rng.uniform(0.35, 0.95)),
        beard=float(rng.choice([0.0, rng.uniform(0.1, 0.9)], p=[0.55, 0.45])) if male else 0.0,
        blush=float(rng.uniform(0, 0.6)),
        freckles=float(rng.uniform(0, 0.5)),
        baldness=float(rng.random() < (0.15 if male else 0.02)),
        hairline=float(rng.normal(0, 0.06)),
        hair_volume=float(rng.uniform(0.03, 0.28)),
        long_hair=float(rng.random() < (0.08 if male else 0.7)),
    )


def _draw_light(rng: np.random.Generator) -> Light:
    azimuth, elevation = rng.uniform(-1.3, 1.3), rng.uniform(-0.2, 1.1)
    direction = np.array(
        [
            np.sin(azimuth) * np.cos(elevation),
            np.sin(elevation),
            np.cos(azimuth) * np.cos(elevation),
        ]
    )
    return Light(
        direction=direction,
        strength=float(rng.uniform(0.25, 0.95)),
        ambient=float(rng.uniform(0.35, 0.8)),
        gloss=float(rng.uniform(0.0, 0.25)),
        tint=rng.uniform(0.88, 1.1, 3),
    )


def _interpolate(rng: np.random.Generator, tones: np.ndarray) -> np.ndarray:
    """Draws a colour (3,) between two successive tones."""
    position = rng.uniform(0, len(tones) - 1)
    low = int(position)
    fraction = position - low
    blended: np.ndarray = (1 - fraction) * tones[low] + fraction * tones[
        min(low + 1, len(tones) - 1)
    ]
    return blended
