"""The steps of a round, each skipped where its result is there already."""

import json
import logging
from collections.abc import Mapping
from importlib import resources
from pathlib import Path

import numpy as np

from rayboot.data.storage import write_bytes
from rayboot.evaluate.benchmark import FaceError
from rayboot.evaluate.faces import pick_by_yaw
from rayboot.evaluate.measure import measure_models
from rayboot.evaluate.shapes import ShapeStatistics
from rayboot.models import load_network
from rayboot.models.config import InferenceConfig
from rayboot.models.predictor import Predictor
from rayboot.pipeline.config import GenerateConfig
from rayboot.pipeline.request import GeneratePlan, prepare
from rayboot.registry.models import Examples, register_weights, resolve_weights
from rayboot.registry.tracking import Run
from rayboot.rounds.config import RoundConfig
from rayboot.rounds.drift import measure_drift
from rayboot.train.config import FinetuneConfig
from rayboot.train.finetune import finetune

__all__ = [
    "AFTER",
    "BEFORE",
    "CHAMPION",
    "FIRST",
    "Errors",
    "Shapes",
    "drift_step",
    "evaluate_step",
    "finetune_step",
    "pairs_request",
    "plan_pairs",
    "register_step",
]

_LOG = logging.getLogger(__name__)

BEFORE, AFTER = "original", "bootstrapped"
CHAMPION = "champion"
"""Name in tables of a champion that is not the network to improve."""

FIRST = "first teacher"

Errors = dict[str, list[FaceError]]
Shapes = dict[str, ShapeStatistics]


def plan_pairs(config: RoundConfig, model: str, yaw_steps_deg: tuple[float, ...]) -> GeneratePlan:
    """The checked request for the pairs data set at ``output/pairs``; needs no Ray.

    Args:
        config: of the round.
        model: to make pairs with, pinned.
        yaw_steps_deg: turns instead of the config's; none leaves those.
    """
    request = pairs_request(config, model)
    if yaw_steps_deg:
        views = request.views.replace(preset=None, yaw_steps_deg=yaw_steps_deg)
        request = request.replace(views=views)
    return prepare(request)


def pairs_request(config: RoundConfig, model: str) -> GenerateConfig:
    """What a round asks of ``generate``."""
    return config.generate.replace(
        input=config.photos,
        output=str(Path(config.output) / "pairs"),
        model=model,
        tracking_uri=config.tracking_uri,
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


def evaluate_step(config: RoundConfig, model: str, champion: str | None, candidate: Path) -> Errors:
    """Errors of the network before and after, kept in ``output/errors.json``.

    A champion that is another network than the one to improve is measured as well.
    """
    kept = Path(config.output) / "errors.json"
    if kept.exists():
        stored = json.loads(kept.read_text("utf-8"))
        return {name: [FaceError(*row) for row in rows] for name, rows in stored.items()}
    models = {BEFORE: model}
    if champion is not None and champion != model:
        models[CHAMPION] = champion
    weights = {name: resolve_weights(uri, config.tracking_uri) for name, uri in models.items()}
    errors = measure_models({**weights, AFTER: candidate}, config.evaluation)
    write_bytes(str(kept), json.dumps(errors).encode())
    return errors


def drift_step(config: RoundConfig, model: str, candidate: Path) -> Shapes:
    """Shape statistics of the first teacher and of the candidate, kept in ``output/drift.json``."""
    kept = Path(config.output) / "drift.json"
    if kept.exists():
        stored = json.loads(kept.read_text("utf-8"))
        return {name: ShapeStatistics(**figures) for name, figures in stored.items()}
    first = resolve_weights(config.first_teacher or model, config.tracking_uri)
    pairs = str(Path(config.output) / "pairs")
    shapes = measure_drift({FIRST: first, AFTER: candidate}, pairs, config.drift)
    figures = {name: found._asdict() for name, found in shapes.items()}
    write_bytes(str(kept), json.dumps(figures, indent=1).encode())
    return shapes


def register_step(config: RoundConfig, run: Run, candidate: Path, tags: Mapping[str, str]) -> str:
    """Registers the candidate, with two evaluation faces as its example; its version."""
    network = load_network(candidate)
    faces = pick_by_yaw(config.evaluation, network.config.resolution, 2)
    photos = np.stack([face.image for face in faces])
    occupancy = Predictor(network, InferenceConfig(precision="float32"), 2).predict(photos)
    code = Path(str(resources.files("rayboot.serving").joinpath("served.py")))
    examples = Examples(photos, occupancy)
    return register_weights(run, config.registered_model, candidate, code, examples, tags)
