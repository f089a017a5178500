"""The steps of a round, each skipped where its result is there already."""

import json
import logging
from collections.abc import Mapping
from importlib import resources
from pathlib import Path

import numpy as np

from rayboot.evaluate.evaluation_config import EvaluateConfig
from rayboot.evaluate.measure import Measurements
from rayboot.evaluate.metrics.shape_statistics import ShapeStatistics
from rayboot.evaluate.report.examples import pick_by_yaw, read_dataset_faces
from rayboot.evaluate.run import EvaluationPlan, measure, prepare_evaluation
from rayboot.io.storage import write_bytes
from rayboot.models import load_network
from rayboot.models.network_config import InferenceConfig
from rayboot.models.predictor import Predictor
from rayboot.pipeline.generate_config import GenerateConfig
from rayboot.pipeline.generate_request import GeneratePlan, prepare_generate
from rayboot.registry.registration import InputExamples, register_weights
from rayboot.registry.resolve import ResolvedModel, resolve_model
from rayboot.registry.runs import Run
from rayboot.rounds.drift import measure_drift
from rayboot.rounds.round_config import RoundConfig
from rayboot.train.finetune import finetune
from rayboot.train.training_config import FinetuneConfig

__all__ = [
    "AFTER",
    "BEFORE",
    "CHAMPION",
    "EVALUATION",
    "FIRST",
    "Shapes",
    "drift_step",
    "evaluate_step",
    "finetune_step",
    "pairs_request",
    "plan_evaluation",
    "plan_pairs",
    "register_step",
]

_LOG = logging.getLogger(__name__)

BEFORE, AFTER = "original", "bootstrapped"
CHAMPION = "champion"
"""Name in tables of a champion that is not the network to improve."""

FIRST = "first teacher"

EVALUATION = "evaluation"
"""Folder of a round's evaluation."""

Shapes = dict[str, ShapeStatistics]


def plan_pairs(
    config: RoundConfig, model: ResolvedModel, yaw_steps_deg: tuple[float, ...]
) -> GeneratePlan:
    """The checked request for the pairs data set; needs no Ray.

    Args:
        config: of the round.
        model: network that makes the pairs.
        yaw_steps_deg: turns instead of the config's; none leaves those.
    """
    request = pairs_request(config, model)
    if yaw_steps_deg:
        views = request.views.replace(preset=None, yaw_steps_deg=yaw_steps_deg)
        request = request.replace(views=views)
    return prepare_generate(request)


def pairs_request(config: RoundConfig, model: ResolvedModel) -> GenerateConfig:
    """What a round asks of ``generate``."""
    return config.generate.replace(
        input=config.photos,
        output=config.pairs_uri,
        model=model.uri,
        tracking_uri=config.tracking_uri,
    )


def finetune_step(config: RoundConfig, model: ResolvedModel, run: Run) -> Path:
    """The candidate's weights at ``output/candidate.safetensors``."""
    target = Path(config.output) / "candidate.safetensors"
    if target.exists():
        _LOG.info("%s is there already", target)
        return target
    settings = FinetuneConfig(
        data=config.pairs_uri,
        model=model.uri,
        storage=config.training_uri,
        tracking_uri=config.tracking_uri,
        **config.finetune.model_dump(),
    )
    result = finetune(settings, run)
    write_bytes(str(target), result.weights)
    return target


def plan_evaluation(
    config: RoundConfig, model: ResolvedModel, champion: str | None, candidate: Path
) -> EvaluationPlan:
    """The comparison of the network before and after, kept at ``output/evaluation``.

    A champion that is another network than the one to improve is measured as well.
    """
    models = {BEFORE: model.uri}
    if champion is not None and champion != model.uri:
        models[CHAMPION] = champion
    return prepare_evaluation(
        EvaluateConfig(
            **config.evaluation.model_dump(),
            models={**models, AFTER: str(candidate)},
            output=str(Path(config.output) / EVALUATION),
            tracking_uri=config.tracking_uri,
        )
    )


def evaluate_step(plan: EvaluationPlan) -> Measurements:
    """Errors of all networks; faces that are measured already are not measured again."""
    return measure(plan)


def drift_step(config: RoundConfig, model: ResolvedModel, candidate: Path) -> Shapes:
    """Shape statistics of the first teacher and of the candidate, kept in ``output/drift.json``."""
    kept = Path(config.output) / "drift.json"
    if kept.exists():
        stored = json.loads(kept.read_text("utf-8"))
        return {name: ShapeStatistics(**figures) for name, figures in stored.items()}
    first = resolve_model(config.first_teacher or model, config.tracking_uri).path
    shapes = measure_drift({FIRST: first, AFTER: candidate}, config.pairs_uri, config.drift)
    figures = {name: found._asdict() for name, found in shapes.items()}
    write_bytes(str(kept), json.dumps(figures, indent=1).encode())
    return shapes


def register_step(
    config: RoundConfig, run: Run, candidate: Path, measured: Measurements, tags: Mapping[str, str]
) -> str:
    """Registers the candidate, with two evaluation faces as its example; its version."""
    network = load_network(candidate)
    chosen = pick_by_yaw(measured.results.errors()[AFTER], 2)
    first_set = config.evaluation.datasets[measured.results.datasets[0]]
    faces = read_dataset_faces(first_set, chosen, network.config.resolution)
    photos = np.stack([face.image for face in faces])
    occupancy = Predictor(network, InferenceConfig(precision="float32"), 2).predict(photos)
    code = Path(str(resources.files("rayboot.inference").joinpath("mlflow_model.py")))
    examples = InputExamples(photos, occupancy)
    return register_weights(run, config.registered_model, candidate, code, examples, tags)
