import numpy as np
import pytest

from rayboot.geometry.head_model import load_head_model
from rayboot.synthesis import SynthesisConfig
from rayboot.synthesis.proportions import (
    NUM_PROPORTIONS,
    draw_proportions,
    nearest_identity,
    proportion_offsets,
)
from rayboot.synthesis.sampling import draw_sample

NASION, TIP, SUBNASALE, CHIN = 27, 30, 33, 8
STOMION = 62


@pytest.fixture(scope="module")
def landmarks() -> np.ndarray:
    """Landmarks (60, 68, 3) of heads without an expression, in units of their eye distance."""
    model, heads = load_head_model(), []
    for identity in range(60):
        sample = draw_sample(SynthesisConfig(num_identities=60, seed=5), model, identity, 0)
        neutral = sample._replace(expression=np.zeros_like(sample.expression))
        points = neutral.vertices(model)[model.landmarks]
        heads.append(points / np.linalg.norm(points[36] - points[45]))
    return np.stack(heads)


def distance(points: np.ndarray, first: int, second: int) -> np.ndarray:
    return np.linalg.norm(points[:, first] - points[:, second], axis=1)


def test_noses_project_as_in_anthropometry(landmarks: np.ndarray) -> None:
    # These landmarks lie before the groove that Goode measured from.
    base = landmarks[:, [31, 35]].mean(axis=1)
    projection = (landmarks[:, TIP] - base)[:, 2]
    assert 0.43 < np.mean(projection / distance(landmarks, NASION, TIP)) < 0.62
    assert 0.16 < np.mean(distance(landmarks, TIP, SUBNASALE)) < 0.23


def test_noses_are_as_long_as_in_anthropometry(landmarks: np.ndarray) -> None:
    assert 0.5 < np.mean(distance(landmarks, NASION, SUBNASALE)) < 0.6


def test_lower_faces_are_as_high_as_in_anthropometry(landmarks: np.ndarray) -> None:
    assert 0.22 < np.mean(distance(landmarks, SUBNASALE, STOMION)) < 0.31
    assert 0.70 < np.mean(landmarks[:, SUBNASALE, 1] - landmarks[:, CHIN, 1]) < 0.82
    assert 0.55 < np.mean(distance(landmarks, 48, 54)) < 0.63


def test_people_differ_in_them(landmarks: np.ndarray) -> None:
    assert landmarks[:, TIP, 2].std() > 0.02
    assert landmarks[:, CHIN].std(axis=0).min() < 1e-2 < landmarks[:, CHIN, 1].std()


def test_offsets_are_symmetric_and_leave_ears_and_eyes() -> None:
    model, offsets, rng = load_head_model(), proportion_offsets(), np.random.default_rng(0)
    assert offsets.shape == (NUM_PROPORTIONS, len(model.mean), 3)
    usual = np.mean([draw_proportions(rng) for _ in range(200)], axis=0)[:, None, None] * offsets
    left, right = model.landmarks[[36, 48, 4]], model.landmarks[[45, 54, 12]]
    # The model's landmarks are not mirror images of each other to the vertex.
    assert np.allclose(usual[:, left], usual[:, right] * (-1, 1, 1), atol=0.006)
    eyes = model.masks["eyes"] > 0.9
    assert np.abs(offsets[:6, eyes]).max() < 0.05


def test_the_nearest_head_is_closer_than_the_one_without_proportions() -> None:
    model, rng = load_head_model(), np.random.default_rng(0)
    identity, proportions = rng.normal(size=len(model.identity)), draw_proportions(rng)
    offsets = np.tensordot(proportions, proportion_offsets(), 1)
    none = np.zeros(len(model.expression_names))
    true = model.vertices(identity, none) + offsets
    closest = model.vertices(nearest_identity(identity, proportions), none)
    error = np.linalg.norm((closest - true)[model.front], axis=1).mean()
    assert error < 0.8 * np.linalg.norm(offsets[model.front], axis=1).mean()
