"""An evaluation as a run of its own: models on sets of faces, rows first, then all else."""

import json
from pathlib import Path
from typing import NamedTuple

from rayboot.errors import RequestError
from rayboot.evaluate.evaluation_config import EvaluateConfig
from rayboot.evaluate.measure import Measurements, measure_models
from rayboot.evaluate.nme_telemetry import report_nme
from rayboot.evaluate.report.outputs import ReportInput, write_outputs
from rayboot.evaluate.report.summary import summarize
from rayboot.io.storage import require_writable, write_bytes
from rayboot.logs import logged_run, new_run_id
from rayboot.registry.resolve import resolve_model
from rayboot.registry.runs import Run, open_run

__all__ = [
    "EvaluationPlan",
    "EvaluationResult",
    "evaluate",
    "measure",
    "prepare_evaluation",
    "record_evaluation",
]

RESULTS, SUMMARY = "results.parquet", "summary.json"


class EvaluationPlan(NamedTuple):
    """A checked request.

    Attributes:
        config: of the evaluation.
        output: folder of everything.
        models: by name, every alias pinned to its version.
        weights: local files by the models' names.
        digests: SHA-256 of each.
    """

    config: EvaluateConfig
    output: Path
    models: dict[str, str]
    weights: dict[str, Path]
    digests: dict[str, str]


class EvaluationResult(NamedTuple):
    """What was measured, the page, and all files that were written, the page among them."""

    measured: Measurements
    report: Path
    files: list[Path]


def prepare_evaluation(config: EvaluateConfig) -> EvaluationPlan:
    """Checks a request; needs no Ray.

    Raises:
        RequestError: no model or output is named, one is missing, or faces are.
    """
    if not config.models or config.output is None:
        raise RequestError(
            "an evaluation needs `models`, names with a weights file, builtin:compact or "
            "models:/NAME@ALIAS each, and an `output` folder"
        )
    for faces in config.datasets.values():
        faces.list_faces()
    resolved = {
        name: resolve_model(model, config.tracking_uri) for name, model in config.models.items()
    }
    require_writable(config.output)
    return EvaluationPlan(
        config,
        Path(config.output),
        {name: model.uri for name, model in resolved.items()},
        {name: model.path for name, model in resolved.items()},
        {name: model.sha256 for name, model in resolved.items()},
    )


def measure(plan: EvaluationPlan) -> Measurements:
    """Measures the models, or what is left of it; writes ``results.parquet``, ``summary.json``.

    Ray must be initialised.
    """
    measured = measure_models(plan.weights, plan.config, plan.output / "rows", plan.digests)
    measured.results.save(plan.output / RESULTS)
    summary = summarize(measured, plan.config, plan.models, plan.digests)
    report_nme(summary)
    write_bytes(str(plan.output / SUMMARY), (json.dumps(summary, indent=1) + "\n").encode())
    return measured


def evaluate(plan: EvaluationPlan) -> EvaluationResult:
    """Measures the models, then writes tables, plots and ``report.html`` beside the rows.

    Ray must be initialised. Changes are those of each model against the first. Where the
    config names a tracking store, everything is recorded as a run there.
    """
    with logged_run(new_run_id()) as log_run:
        measured = measure(plan)
        subject = ReportInput(plan.config, plan.models, plan.weights, measured)
        report, files = write_outputs(subject, plan.output)
    if plan.config.tracking_uri is not None:
        run = open_run(plan.config.tracking_uri, plan.config.experiment, plan.output.name)
        with run.closing():
            run.set_tags({"rayboot.log_run": log_run})
            run.log_params({"evaluation": plan.config.model_dump(mode="json", exclude={"output"})})
            record_evaluation(run, measured, plan, files)
    return EvaluationResult(measured, report, files)


def record_evaluation(
    run: Run, measured: Measurements, plan: EvaluationPlan, files: list[Path]
) -> None:
    """Puts an evaluation's figures, rows and files into an MLflow run."""
    summary = summarize(measured, plan.config, plan.models, plan.digests)
    metrics = {
        f"nme_{row['align']}/{row['set']}/{row['model']}/{row['band']}": row["mean"]
        for row in summary["rows"]
        if row["side"] == "both"
    }
    run.log_metrics({_plain(name): value for name, value in metrics.items()})
    for path in (plan.output / RESULTS, plan.output / SUMMARY, *files):
        run.log_file(path, "evaluation")


def _plain(name: str) -> str:
    """A metric's name in MLflow: letters, digits and a few signs."""
    return "".join(c if c.isalnum() or c in "/_-. " else "_" for c in name).replace(" ", "_")
