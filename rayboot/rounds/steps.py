"""The steps of a round, each skipped where its result is there already."""

import json
import logging
from pathlib import Path

import numpy as np

from rayboot.data.storage import write_bytes
from rayboot.evaluate.benchmark import FaceError
from rayboot.evaluate.faces import pick_by_yaw
from rayboot.evaluate.measure import measure_models
from rayboot.models import load_network
from rayboot.models.config import InferenceConfig
from rayboot.models.predictor import Predictor
from rayboot.pipeline.request import GeneratePlan, prepare
from rayboot.registry.models import register_weights, resolve_weights
from rayboot.registry.tracking import Run
from rayboot.rounds.config import RoundConfig
from rayboot.train.config import FinetuneConfig
from rayboot.train.finetune import finetune

__all__ = [
    "AFTER",
    "BEFORE",
    "Errors",
    "evaluate_step",
    "finetune_step",
    "plan_pairs",
    "register_step",
]

_LOG = logging.getLogger(__name__)

BEFORE, AFTER = "original", "bootstrapped"

Errors = dict[str, list[FaceError]]


def plan_pairs(config: RoundConfig, model: str) -> GeneratePlan:
    """The checked request for the pairs data set at ``output/pairs``; needs no Ray."""
    return prepare(
        config.generate.replace(
            input=config.photos,
            output=str(Path(config.output) / "pairs"),
            model=model,
            tracking_uri=config.tracking_uri,
        )
    )


def finetune_step(config: RoundConfig, model: str, run: Run) -> Path:
    """The candidate's weights at ``output/candidate.safetensors``."""
    output = Path(config.output)
    target = output / "candidate.safetensors"
    if target.exists():
        _LOG.info("%s is there already", target)
        return target
    settings = FinetuneConfig(
        data=str(output / "pairs"),
        model=model,
        storage=str(output / "training"),
        tracking_uri=config.tracking_uri,
        **config.finetune.model_dump(),
    )
    result = finetune(settings, run)
    write_bytes(str(target), result.weights)
    return target


def evaluate_step(config: RoundConfig, model: str, candidate: Path) -> Errors:
    """Errors of the network before and after, kept in ``output/errors.json``."""
    kept = Path(config.output) / "errors.json"
    if kept.exists():
        stored = json.loads(kept.read_text("utf-8"))
        return {name: [FaceError(*row) for row in rows] for name, rows in stored.items()}
    weights = {BEFORE: resolve_weights(model, config.tracking_uri), AFTER: candidate}
    errors = measure_models(weights, config.evaluation)
    write_bytes(str(kept), json.dumps(errors).encode())
    return errors


def register_step(config: RoundConfig, run: Run, candidate: Path) -> str:
    """Registers the candidate, with two evaluation faces as its example; its version."""
    network = load_network(candidate)
    size = network.config.resolution
    faces = pick_by_yaw(config.evaluation, size, 2)
    photos = np.stack([face.image for face in faces])
    occupancy = Predictor(network, InferenceConfig(precision="float32"), 2).predict(photos)
    images = photos.transpose(0, 3, 1, 2).astype(np.float32) / 255
    return register_weights(run, config.registered_model, candidate, images, occupancy)
