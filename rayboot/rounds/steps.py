"""The steps of a round, each skipped where its result is there already."""

import json
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rayboot.evaluate.benchmark import FaceError
from rayboot.evaluate.measure import measure_models
from rayboot.pipeline.generate import GenerateSummary, generate, prepare
from rayboot.registry.models import resolve_weights
from rayboot.registry.tracking import Run
from rayboot.rounds.config import RoundConfig
from rayboot.train.config import FinetuneConfig
from rayboot.train.finetune import finetune

__all__ = ["BEFORE", "AFTER", "evaluate_step", "finetune_step", "generate_step"]

_LOG = logging.getLogger(__name__)

BEFORE, AFTER = "original", "bootstrapped"


def generate_step(config: RoundConfig, output: Path) -> GenerateSummary:
    """The pairs data set at ``output/pairs``."""
    request = config.generate.replace(
        input=config.photos, output=str(output / "pairs"), model=config.model
    )
    return generate(prepare(request))


def finetune_step(config: RoundConfig, output: Path, run: Run) -> Path:
    """The candidate's weights at ``output/candidate.safetensors``."""
    target = output / "candidate.safetensors"
    if target.exists():
        _LOG.info("%s is there already", target)
        return target
    result = finetune(
        FinetuneConfig(
            data=str(output / "pairs"),
            model=config.model,
            storage=str(output / "training"),
            **config.finetune.model_dump(),
        ),
        run,
    )
    aside = target.with_suffix(".part")
    aside.write_bytes(result.weights.read_bytes())
    aside.replace(target)
    return target


def evaluate_step(
    config: RoundConfig, output: Path, candidate: Path
) -> dict[str, list[FaceError]]:
    """Errors of the network before and after, kept in ``output/errors.json``."""
    kept = output / "errors.json"
    if kept.exists():
        stored = json.loads(kept.read_text("utf-8"))
        return {name: [FaceError(*row) for row in rows] for name, rows in stored.items()}
    weights = {BEFORE: resolve_weights(config.model, config.tracking_uri), AFTER: candidate}
    errors = measure_models(weights, config.evaluation)
    kept.write_text(json.dumps(errors), encoding="utf-8")
    return errors


def mean_error(errors: Sequence[FaceError], low: float, high: float) -> float:
    """Mean ICP NME of a band of |yaw|, over faces that were reconstructed."""
    values = [e.nme_icp for e in errors if low <= abs(e.yaw_deg) <= high]
    return float(np.nanmean(values)) if values else float("nan")
