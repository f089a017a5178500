"""Choosing how far to rotate faces, from the angles at which the network is weak.

Section 3.1 of the paper: given the render of its own rotated shape, a network that reconstructs
such poses well would return the rotated shape. Its disagreement at each angle, measured on
some of the photos of the round, shows where training can help; no ground truth is needed.
"""

from collections.abc import Mapping

import numpy as np
from pydantic import Field

from rayboot.config import FrozenConfig
from rayboot.data.schema import target_column
from rayboot.models import load_network
from rayboot.pipeline.dry_run import generate_in_process
from rayboot.pipeline.generate_config import GenerateConfig
from rayboot.pipeline.listing import list_inputs
from rayboot.registry.resolve import resolve_model
from rayboot.train.sample_store import Sample, SampleStore
from rayboot.train.training_config import OptimizerConfig
from rayboot.train.validation import ious

__all__ = ["AnglesConfig", "choose_yaw_steps", "distribute_steps", "measure_agreement"]


class AnglesConfig(FrozenConfig):
    """At which angles to measure the network's disagreement, and how many yaw steps to choose."""

    num_photos: int = Field(24, ge=4)
    """Number of photos that are measured, evenly spaced in the input."""
    tried_deg: tuple[float, ...] = (10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0)
    """Rotations in yaw at which agreement is measured, in increasing order."""
    num_steps: int = Field(3, ge=1, le=8)
    """Number of rotations to each side that the round uses."""


def choose_yaw_steps(generate: GenerateConfig, config: AnglesConfig) -> tuple[float, ...]:
    """Returns yaw steps, degrees and increasing, chosen for a network and its photos.

    Args:
        generate: config that names the network and the photos.
        config: number of photos, tried angles and number of steps.

    Raises:
        RequestError: model or photos are missing, or no measured photo has a view.
    """
    return distribute_steps(measure_agreement(generate, config), config.num_steps)


def measure_agreement(generate: GenerateConfig, config: AnglesConfig) -> dict[float, float]:
    """Measures how far a network agrees with its own rotated shapes.

    Args:
        generate: config of the round; the angles of its views are replaced by ``tried_deg``.
        config: number of photos and tried angles.

    Returns:
        Mean intersection over union of the network's prediction from a render with the rotated
        shape, by the magnitude of the rotation, degrees.
    """
    assert generate.input is not None
    views = generate.views.replace(preset=None, yaw_steps_deg=config.tried_deg)
    photos = list_inputs(generate.input, include_test=False)
    faces = generate_in_process(generate.replace(views=views), photos, config.num_photos)
    network = load_network(resolve_model(generate.model, generate.tracking_uri).path)
    samples, steps = [], []
    for face in faces:
        target = face[target_column(network.target_kind)]
        for view in face["views"]:
            transform = np.reshape(np.asarray(view["transform"], np.float64), (3, 4))
            samples.append(Sample(view["image"], target, transform))
            steps.append(abs(view["yaw_deg"]))
    store = SampleStore(samples, tuple(faces[0]["shape"]), network.decode)
    agreement = ious(network, store, np.arange(len(store)), OptimizerConfig(batch_size=8))
    magnitudes = np.array(steps)
    return {step: float(agreement[magnitudes == step].mean()) for step in sorted(set(steps))}


def distribute_steps(agreement: Mapping[float, float], num_steps: int) -> tuple[float, ...]:
    """Chooses rotations that divide the disagreement evenly: dense where it is large.

    The disagreement at the network's best angle is subtracted, since it is not due to rotation.

    Args:
        agreement: agreement by the magnitude of the rotation, degrees.
        num_steps: number of rotations to choose.

    Returns:
        Whole degrees, increasing and distinct; fewer than ``num_steps`` where some coincide.
    """
    tried = np.array(sorted(agreement))
    excess = max(agreement.values()) - np.array([agreement[step] for step in tried])
    fine = np.arange(tried[0], tried[-1] + 0.5, 0.5)
    density = np.interp(fine, tried, excess)
    if density.sum() <= 0:
        density = np.ones_like(fine)
    cumulative = np.cumsum(density) / density.sum()
    quantiles = (np.arange(num_steps) + 0.5) / num_steps
    return tuple(float(step) for step in np.unique(np.interp(quantiles, cumulative, fine).round()))
