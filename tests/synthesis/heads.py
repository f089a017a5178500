"""Heads and samples that the tests of the parts of a synthetic photo share."""

import numpy as np

from rayboot.geometry.head_model import HeadModel, load_head_model
from rayboot.synthesis import SynthesisConfig
from rayboot.synthesis.sampling import FaceSample, draw_sample

MODEL: HeadModel = load_head_model()
HEADS = [
    MODEL.vertices(
        draw_sample(SynthesisConfig(num_identities=1), MODEL, identity, 0).identity,
        np.zeros(len(MODEL.expression_names)),
    )
    for identity in range(4)
]


def draw(identity: int = 0, **changes: object) -> FaceSample:
    return draw_sample(SynthesisConfig(num_identities=1), MODEL, identity, 0)._replace(**changes)


def rng() -> np.random.Generator:
    return np.random.default_rng(0)
