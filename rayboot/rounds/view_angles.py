"""Choosing how far to turn from where the network is weak.

The paper's section 3.1: shown the render of its own shape, turned, a network that knew faces
from there would give the turned shape again. How far it disagrees at each angle, on a few of
the photos that it is to learn from, tells where it has something to learn; no truth is asked.
"""

from collections.abc import Mapping

import numpy as np
from pydantic import Field

from rayboot.config import FrozenConfig
from rayboot.models import load_network
from rayboot.pipeline.dry_run import generate_in_process
from rayboot.pipeline.generate_config import GenerateConfig
from rayboot.pipeline.listing import list_inputs
from rayboot.registry.resolve import resolve_model
from rayboot.train.loop import ious
from rayboot.train.sample_store import Sample, SampleStore
from rayboot.train.training_config import OptimizerConfig

__all__ = ["AnglesConfig", "choose_steps", "measure_agreement", "spread_steps"]


class AnglesConfig(FrozenConfig):
    """Where to look for weakness, and how many turns to make of it."""

    num_photos: int = Field(24, ge=4)
    """That are tried, spread over the input."""
    tried_deg: tuple[float, ...] = (10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0)
    """Turns in yaw, rising."""
    num_steps: int = Field(3, ge=1, le=8)
    """Turns to each side that the round makes."""


def choose_steps(generate: GenerateConfig, config: AnglesConfig) -> tuple[float, ...]:
    """Turns in yaw, degrees, rising, for the network and the photos of a request.

    Raises:
        RequestError: model or photos are missing, or no photo tried gives a view.
    """
    return spread_steps(measure_agreement(generate, config), config.num_steps)


def measure_agreement(generate: GenerateConfig, config: AnglesConfig) -> dict[float, float]:
    """How far a network agrees with its own shapes when it is shown them turned.

    Args:
        generate: of the round; its views' angles are replaced by those tried.
        config: photos and angles.

    Returns:
        By the size of the turn, degrees, the mean intersection over union of what the network
        says of a render with the turned shape.
    """
    assert generate.input is not None
    views = generate.views.replace(preset=None, yaw_steps_deg=config.tried_deg)
    photos = list_inputs(generate.input, include_test=False)
    faces = generate_in_process(generate.replace(views=views), photos, config.num_photos)
    network = load_network(resolve_model(generate.model, generate.tracking_uri).path)
    samples, steps = [], []
    for face in faces:
        target = face["occupancy"] if network.target_kind == "occupancy" else face["target"]
        for view in face["views"]:
            transform = np.reshape(np.asarray(view["transform"], np.float64), (3, 4))
            samples.append(Sample(view["image"], target, transform))
            steps.append(abs(view["yaw_deg"]))
    store = SampleStore(samples, tuple(faces[0]["shape"]), network.decode)
    agreement = ious(network, store, np.arange(len(store)), OptimizerConfig(batch_size=8))
    sizes = np.array(steps)
    return {step: float(agreement[sizes == step].mean()) for step in sorted(set(steps))}


def spread_steps(agreement: Mapping[float, float], num_steps: int) -> tuple[float, ...]:
    """Turns that share out the disagreement evenly: close together where there is much of it.

    What the network disagrees by at its best angle is what it disagrees by anyway, and does not
    count.

    Args:
        agreement: by the size of the turn, degrees.
        num_steps: to choose.

    Returns:
        Whole degrees, rising, each once; fewer than asked for where they coincide.
    """
    tried = np.array(sorted(agreement))
    weak = max(agreement.values()) - np.array([agreement[step] for step in tried])
    fine = np.arange(tried[0], tried[-1] + 0.5, 0.5)
    density = np.interp(fine, tried, weak)
    if density.sum() <= 0:
        density = np.ones_like(fine)
    share = np.cumsum(density) / density.sum()
    wanted = (np.arange(num_steps) + 0.5) / num_steps
    return tuple(float(step) for step in np.unique(np.interp(wanted, share, fine).round()))
