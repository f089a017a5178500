"""The steps of a round; each returns the stored result where it exists already."""

import json
import logging
from collections.abc import Mapping
from importlib import resources
from pathlib import Path

import numpy as np

from rayboot.evaluate.evaluation_config import EvaluateConfig
from rayboot.evaluate.report.examples import pick_by_yaw, read_dataset_faces
from rayboot.evaluate.run import Evaluation, EvaluationPlan, measure, prepare_evaluation
from rayboot.io.storage import write_bytes
from rayboot.models import load_network
from rayboot.models.network_config import InferenceConfig
from rayboot.models.predictor import Predictor
from rayboot.pipeline.generate_config import GenerateConfig
from rayboot.pipeline.generate_request import GeneratePlan, prepare_generate
from rayboot.registry.registration import InputExamples, register_weights
from rayboot.registry.resolve import ResolvedModel, resolve_model
from rayboot.registry.runs import Run
from rayboot.rounds.drift import DriftStatistics, measure_drift
from rayboot.rounds.round_config import RoundConfig
from rayboot.train.finetune import finetune, prepare_finetune
from rayboot.train.training_config import FinetuneConfig

__all__ = [
    "AFTER",
    "BEFORE",
    "CHAMPION",
    "EVALUATION",
    "FIRST_TEACHER",
    "StatisticsByModel",
    "evaluate_models",
    "finetune_candidate",
    "measure_shape_statistics",
    "pairs_config",
    "plan_evaluation",
    "plan_pairs",
    "register_candidate",
]

_LOG = logging.getLogger(__name__)

BEFORE, AFTER = "original", "bootstrapped"
"""Names in tables of the network to improve, and of the candidate."""

CHAMPION = "champion"
"""Name in tables of a champion other than the network to improve."""

FIRST_TEACHER = "first teacher"
"""Key of the first teacher's statistics in ``drift.json``."""

EVALUATION = "evaluation"
"""Name of the folder of a round's evaluation."""

StatisticsByModel = dict[str, DriftStatistics]
"""Shape statistics by :data:`FIRST_TEACHER` and :data:`AFTER`."""


def plan_pairs(
    config: RoundConfig,
    model: ResolvedModel,
    yaw_steps_deg: tuple[float, ...],
    *,
    follow: bool = True,
) -> GeneratePlan:
    """Checks the request for the pairs data set; needs no Ray.

    Args:
        config: config of the round, with absolute paths.
        model: model to generate pairs with.
        yaw_steps_deg: rotations that replace the config's; empty keeps those.
        follow: whether photos that were added to the input take part, which they do until the pairs
            are generated.
    """
    request = pairs_config(config, model)
    if yaw_steps_deg:
        views = request.views.replace(preset=None, yaw_steps_deg=yaw_steps_deg)
        request = request.replace(views=views)
    return prepare_generate(request, follow=follow)


def pairs_config(config: RoundConfig, model: ResolvedModel) -> GenerateConfig:
    """Returns the config of ``generate`` for a round's pairs data set."""
    return config.generate.replace(
        input=config.photos,
        output=config.pairs_uri,
        model=model.uri,
        tracking_uri=config.tracking_uri,
    )


def finetune_candidate(
    config: RoundConfig, model: ResolvedModel, run: Run, manifest: str | None
) -> Path:
    """Fine-tunes the candidate; returns its weights file ``output/candidate.safetensors``.

    Args:
        config: config of the round, with absolute paths.
        model: model to start from.
        run: MLflow run of the round.
        manifest: digest of the manifest of the pairs.
    """
    target = Path(config.output) / "candidate.safetensors"
    if target.exists():
        _LOG.info("%s exists already; fine-tuning is skipped", target)
        return target
    settings = FinetuneConfig(
        data=config.pairs_uri,
        manifest=manifest,
        model=model.uri,
        storage=config.training_uri,
        tracking_uri=config.tracking_uri,
        **config.finetune.model_dump(),
    )
    result = finetune(prepare_finetune(settings).config, run)
    write_bytes(str(target), result.weights)
    return target


def plan_evaluation(
    config: RoundConfig, model: ResolvedModel, champion: str | None, candidate: Path
) -> EvaluationPlan:
    """Checks the request that compares the network before and after fine-tuning.

    A champion other than the network to improve is evaluated as well. Results are stored
    in ``output/evaluation``.
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


def evaluate_models(plan: EvaluationPlan) -> Evaluation:
    """Returns the errors of all networks; only faces without a stored result are evaluated."""
    return measure(plan)


def measure_shape_statistics(
    config: RoundConfig, model: ResolvedModel, candidate: Path, manifest: str | None
) -> StatisticsByModel:
    """Returns shape statistics of first teacher and candidate; stores ``output/drift.json``.

    Args:
        config: config of the round, with absolute paths.
        model: model to improve.
        candidate: the candidate's weights file.
        manifest: digest of the manifest of the pairs.
    """
    path = Path(config.output) / "drift.json"
    if path.exists():
        stored = json.loads(path.read_text("utf-8"))
        return {name: DriftStatistics.from_json(values) for name, values in stored.items()}
    first = resolve_model(config.first_teacher or model, config.tracking_uri).path
    weights = {FIRST_TEACHER: first, AFTER: candidate}
    statistics = measure_drift(weights, config.pairs_uri, config.drift, manifest)
    values = {name: shapes.to_json() for name, shapes in statistics.items()}
    write_bytes(str(path), json.dumps(values, indent=1).encode())
    return statistics


def register_candidate(
    config: RoundConfig, run: Run, candidate: Path, measured: Evaluation, tags: Mapping[str, str]
) -> str:
    """Registers the candidate with two evaluation faces as its example; returns its version."""
    network = load_network(candidate)
    chosen = pick_by_yaw(measured.results.errors()[AFTER], 2)
    first_dataset = config.evaluation.datasets[measured.results.datasets[0]]
    faces = read_dataset_faces(first_dataset, chosen, network.config.resolution)
    crops = np.stack([face.image for face in faces])
    occupancy = Predictor(network, InferenceConfig(precision="float32"), 2).predict(crops)
    code = Path(str(resources.files("rayboot.inference").joinpath("mlflow_model.py")))
    examples = InputExamples(crops, occupancy)
    return register_weights(run, config.registered_model, candidate, code, examples, tags)
