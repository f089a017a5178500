"""Random draws: everything that varies between photos, drawn before a photo is rendered."""

from typing import NamedTuple

import numpy as np

from rayboot.geometry.camera import rotation_in_plane, rotation_yaw_pitch
from rayboot.geometry.head_model import HeadModel
from rayboot.synthesis.accessories import (
    Glasses,
    Headwear,
    HeldObject,
    draw_glasses,
    draw_headwear,
    draw_held_object,
    draw_sunglasses,
)
from rayboot.synthesis.proportions import draw_proportions, proportion_offsets
from rayboot.synthesis.synthesis_config import SynthesisConfig, YawConfig

__all__ = ["Appearance", "FaceSample", "Light", "Lighting", "draw_sample", "sample_rng"]


class Appearance(NamedTuple):
    """Colours and hair of an identity.

    Colours are (3,), proportional to image values, from 0 to 1; strengths are from 0 to 1.
    ``hair_volume`` is the thickness of the hair, ``hair_length`` the length of its strands, and
    ``parting`` the x of the line from which it falls to both sides, all in outer eye distances;
    ``hair_lift`` says how far strands stand off the head, and ``curl`` how much they turn.
    ``glasses`` is None for those who wear none.
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
    hair_length: float
    hair_lift: float
    curl: float
    parting: float
    fringe: bool
    glasses: Glasses | None


class Light(NamedTuple):
    """A distant light.

    Attributes:
        direction: (3,) unit vector towards the light, in the photo's frame.
        color: (3,) strength in each channel of the image.
    """

    direction: np.ndarray
    color: np.ndarray


class Lighting(NamedTuple):
    """All light of a scene.

    Attributes:
        lights: lights, the strongest first.
        ambient: (3,) strength of light from everywhere, in each channel.
        occlusion: fraction of the ambient light that the deepest hollows of a face lose.
        gloss: strength of specular reflections of the first light.
    """

    lights: tuple[Light, ...]
    ambient: np.ndarray
    occlusion: float
    gloss: float


class FaceSample(NamedTuple):
    """Random parameters of one photo.

    Attributes:
        identity: (I,) coefficients of the head model's identity, in standard deviations.
        proportions: (P,) of :mod:`rayboot.synthesis.proportions`, of the identity.
        expression: (E,) strengths of the head model's expressions.
        rotation: (3, 3), from the head's frame to the photo's.
        angles_deg: yaw, pitch and roll.
        scale: size of the face relative to the usual.
        shift: (2,) offset of the face's centre, as fractions of the photo's size.
        appearance: colours and hair.
        lighting: light of the scene.
        texture_seed: seed of skin texture, hair and background.
        blur: standard deviation of the blur, px.
        noise: standard deviation of the noise, on the scale of 255.
        jpeg_quality: JPEG quality, from 1 to 100.
        sunglasses: sunglasses, worn instead of the person's glasses.
        headwear: hat, cap or headscarf.
        held_object: hand or object before the face.
        shadow: fraction of the first light that shadows take away; 0 where none are cast.
        gaze: (2,) angles of the eyes to the image's right and up, rad, in the head's frame.
        camera_distance: distance of the camera, outer eye distances.
        reencoding: side relative to the photo's and JPEG quality of an earlier copy of the photo;
            None where there was none.
        sharpening: strength of the camera's sharpening.
        grain: size of the noise's grain, px.
    """

    identity: np.ndarray
    proportions: np.ndarray
    expression: np.ndarray
    rotation: np.ndarray
    angles_deg: tuple[float, float, float]
    scale: float
    shift: np.ndarray
    appearance: Appearance
    lighting: Lighting
    texture_seed: int
    blur: float
    noise: float
    jpeg_quality: int
    sunglasses: Glasses | None
    headwear: Headwear | None
    held_object: HeldObject | None
    shadow: float
    gaze: np.ndarray
    camera_distance: float
    reencoding: tuple[float, int] | None
    sharpening: float
    grain: float

    def vertices(self, model: HeadModel) -> np.ndarray:
        """Returns the vertices (N, 3) float32 of the head without hair, in the head's frame."""
        head = model.vertices(self.identity, self.expression)
        offsets = np.tensordot(self.proportions, proportion_offsets(), 1)
        return np.asarray(head + offsets, np.float32)


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
        [0.72, 0.58, 0.36],
    ]
)
_GREY_HAIR = np.array([0.62, 0.61, 0.59])
_IRIS_TONES = np.array(
    [
        [0.20, 0.12, 0.07],
        [0.35, 0.24, 0.12],
        [0.30, 0.38, 0.25],
        [0.33, 0.45, 0.58],
    ]
)

_CAMERA_DISTANCES = (6.0, 40.0)
"""Nearest camera, of a phone held by the person, and farthest, outer eye distances."""

_MAX_GAZE = np.array([0.55, 0.3])
"""Largest angles of the eyes to the side and up or down, rad."""


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
    drawn = FaceSample(
        identity=np.clip(identity_rng.normal(0, 1, len(model.identity)), -2.5, 2.5),
        proportions=draw_proportions(sample_rng(config.seed, "proportions", identity)),
        expression=_draw_expression(rng, model.expression_names),
        rotation=rotation_in_plane(np.radians(roll))
        @ rotation_yaw_pitch(np.radians(yaw), np.radians(pitch)),
        angles_deg=(float(yaw), float(pitch), float(roll)),
        scale=float(rng.uniform(0.85, 1.1)),
        shift=rng.uniform(-0.06, 0.06, 2),
        appearance=_draw_appearance(identity_rng),
        lighting=_draw_lighting(rng),
        texture_seed=int(rng.integers(2**31)),
        blur=float(rng.choice([0.0, 0.4, 0.7, 1.1], p=[0.3, 0.3, 0.25, 0.15])),
        noise=float(rng.choice([0.0, 1.5, 4.0, 7.0], p=[0.3, 0.35, 0.25, 0.1])),
        jpeg_quality=int(rng.integers(60, 97)),
        sunglasses=draw_sunglasses(rng),
        headwear=draw_headwear(rng),
        held_object=draw_held_object(rng),
        shadow=float(rng.choice([0.0, rng.uniform(0.3, 0.95)])),
        gaze=_draw_gaze(rng, np.radians([yaw, pitch])),
        camera_distance=float(np.exp(rng.uniform(*np.log(_CAMERA_DISTANCES)))),
        reencoding=_draw_reencoding(rng),
        sharpening=float(rng.choice([0.0, rng.uniform(0.2, 0.9)], p=[0.6, 0.4])),
        grain=float(rng.choice([0.0, rng.uniform(0.5, 0.9)])),
    )
    return drawn._replace(lighting=_harden(drawn.lighting, drawn.shadow))


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


def _harden(lighting: Lighting, shadow: float) -> Lighting:
    """Returns light in which the first light prevails as much as its shadows are deep."""
    first, *others = lighting.lights
    stronger = first._replace(color=(1 + 0.5 * shadow) * first.color)
    ambient = (1 - 0.35 * shadow) * lighting.ambient
    return lighting._replace(lights=(stronger, *others), ambient=ambient)


def _draw_gaze(rng: np.random.Generator, head_angles: np.ndarray) -> np.ndarray:
    """Draws where the eyes look: mostly into the camera as far as they turn, or anywhere."""
    to_camera = rng.random() < 0.6
    anywhere = rng.normal(0, [0.25, 0.12])
    gaze = -head_angles + rng.normal(0, 0.04, 2) if to_camera else anywhere
    return np.clip(gaze, -_MAX_GAZE, _MAX_GAZE)


def _draw_reencoding(rng: np.random.Generator) -> tuple[float, int] | None:
    """Draws size and JPEG quality of an earlier copy; every second photo has none."""
    copied = rng.random() < 0.5
    drawn = (float(rng.uniform(0.75, 1.6)), int(rng.integers(45, 95)))
    return drawn if copied else None


def _draw_appearance(rng: np.random.Generator) -> Appearance:
    darkness = rng.random()
    skin = _tone(_SKIN_TONES, 1 - darkness) * rng.uniform(0.94, 1.06, 3)
    # Dark skin goes with dark hair and eyes; light skin with all.
    hair = _tone(_HAIR_TONES, rng.beta(0.8, 1.2) * min(1.0, 1.6 * (1 - darkness)))
    iris = _tone(_IRIS_TONES, rng.random() * min(1.0, 1.3 * (1 - darkness)))
    grey = rng.random() < 0.15
    male = rng.random() < 0.5
    length = rng.choice(3, p=[0.75, 0.17, 0.08] if male else [0.15, 0.3, 0.55])
    low, high = ((0.06, 0.35), (0.35, 0.9), (0.9, 2.4))[length]
    return Appearance(
        skin=np.clip(skin, 0, 1),
        lips=np.clip(skin * [1.05, 0.72, 0.72] * rng.uniform(0.85, 1.1, 3), 0, 1),
        hair=np.clip((_GREY_HAIR if grey else hair) * rng.uniform(0.8, 1.2), 0, 1),
        iris=iris * rng.uniform(0.8, 1.2, 3),
        cloth=rng.uniform(0.05, 0.9, 3),
        brow=float(rng.uniform(0.35, 0.95)),
        beard=float(rng.choice([0.0, rng.uniform(0.1, 0.9)], p=[0.55, 0.45])) if male else 0.0,
        blush=float(rng.uniform(0, 0.6)),
        freckles=float(rng.uniform(0, 0.5)),
        baldness=float(rng.random() < (0.12 if male else 0.01)),
        hairline=float(rng.normal(0, 0.06)),
        hair_volume=float(rng.uniform(0.02, (0.14, 0.2, 0.28)[length])),
        hair_length=float(rng.uniform(low, high)),
        hair_lift=float(rng.uniform(0.1, 1.2)),
        curl=float(rng.choice([rng.uniform(0, 0.3), rng.uniform(0.3, 1.2)], p=[0.7, 0.3])),
        parting=float(rng.normal(0, 0.25)),
        fringe=bool(rng.random() < (0.35 if length else 0.2)),
        glasses=draw_glasses(rng),
    )


def _draw_lighting(rng: np.random.Generator) -> Lighting:
    """Draws a main light, up to two more that are often coloured, and an ambient light."""
    tint = rng.uniform(0.88, 1.1, 3)
    main = Light(_draw_direction(rng, 1.3), float(rng.uniform(0.25, 0.95)) * tint)
    others = [
        Light(
            _draw_direction(rng, 2.2),
            rng.uniform(0.05, 0.5) * np.clip(1 + rng.normal(0, 0.2, 3), 0.4, 1.6),
        )
        for _ in range(rng.choice(3, p=[0.4, 0.35, 0.25]))
    ]
    return Lighting(
        (main, *others),
        ambient=float(rng.uniform(0.35, 0.8)) * tint * rng.uniform(0.92, 1.08, 3),
        occlusion=float(rng.uniform(0.2, 0.9)),
        gloss=float(rng.uniform(0.0, 0.25)),
    )


def _draw_direction(rng: np.random.Generator, max_azimuth: float) -> np.ndarray:
    """Draws the direction (3,) of a light, mostly from above; ``max_azimuth`` in radians."""
    azimuth, elevation = rng.uniform(-max_azimuth, max_azimuth), rng.uniform(-0.2, 1.1)
    horizontal = np.cos(elevation)
    return np.array([np.sin(azimuth) * horizontal, np.sin(elevation), np.cos(azimuth) * horizontal])


def _tone(tones: np.ndarray, position: float) -> np.ndarray:
    """Returns a colour (3,) between successive tones; ``position`` from 0 to 1."""
    scaled = position * (len(tones) - 1)
    return np.array([np.interp(scaled, np.arange(len(tones)), channel) for channel in tones.T])
