"""One evaluation: measures models on datasets, then writes the summary, tables, plots and page."""

import json
from pathlib import Path
from typing import Any, NamedTuple

from rayboot.errors import RequestError
from rayboot.evaluate.evaluation_config import EvaluateConfig
from rayboot.evaluate.measure import measure_models
from rayboot.evaluate.measurements import Measurements
from rayboot.evaluate.nme_telemetry import report_nme
from rayboot.evaluate.report.outputs import ReportInput, write_outputs
from rayboot.evaluate.report.summary import summarize
from rayboot.evaluate.results import Results
from rayboot.io.absolute_paths import with_absolute_paths
from rayboot.io.storage import require_writable, write_bytes
from rayboot.logs import logged_run, new_run_id
from rayboot.registry.resolve import resolve_model
from rayboot.registry.runs import Run, open_run

__all__ = [
    "Evaluation",
    "EvaluationPlan",
    "EvaluationResult",
    "evaluate",
    "measure",
    "prepare_evaluation",
    "record_evaluation",
]

RESULTS, SUMMARY = "results.parquet", "summary.json"


class EvaluationPlan(NamedTuple):
    """A checked request for an evaluation.

    Attributes:
        config: Config of the evaluation.
        output: Folder of all outputs.
        models: URIs of the models by name, every alias pinned to its version.
        weights: Local weights files, by model name.
        digests: SHA-256 digests of the weights, by model name.
    """

    config: EvaluateConfig
    output: Path
    models: dict[str, str]
    weights: dict[str, Path]
    digests: dict[str, str]


class Evaluation(NamedTuple):
    """Measured errors and their summary.

    Attributes:
        measurements: Errors, and the faces that were not measured.
        summary: Content of ``summary.json``, see
            :func:`rayboot.evaluate.report.summary.summarize`.
    """

    measurements: Measurements
    summary: dict[str, Any]

    @property
    def results(self) -> Results:
        """Errors of every face and model."""
        return self.measurements.results


class EvaluationResult(NamedTuple):
    """A finished evaluation.

    Attributes:
        evaluation: Measured errors and their summary.
        report: Path of the HTML page.
        files: Tables, plots and the page.
    """

    evaluation: Evaluation
    report: Path
    files: list[Path]


def prepare_evaluation(config: EvaluateConfig) -> EvaluationPlan:
    """Checks a request; needs no Ray.

    Raises:
        RequestError: The config names no model or no output, or a model or a dataset is missing.
    """
    if not config.models or config.output is None:
        raise RequestError(
            "an evaluation needs `models`, names with a weights file, builtin:compact or "
            "models:/NAME@ALIAS each, and an `output` folder; got "
            f"{len(config.models)} models and output {config.output}"
        )
    # Errors name the folder that was looked into, not what the config calls it.
    for dataset in with_absolute_paths(config).datasets.values():
        dataset.list_faces()
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


def measure(plan: EvaluationPlan) -> Evaluation:
    """Measures the models and writes ``results.parquet`` and ``summary.json``.

    Faces that an earlier call measured are not measured again. Ray must be initialised.
    """
    measurements = measure_models(plan.weights, plan.config, plan.output / "rows", plan.digests)
    measurements.results.save(plan.output / RESULTS)
    summary = summarize(measurements, plan.config, plan.models, plan.digests)
    report_nme(summary)
    write_bytes(str(plan.output / SUMMARY), (json.dumps(summary, indent=1) + "\n").encode())
    return Evaluation(measurements, summary)


def evaluate(plan: EvaluationPlan) -> EvaluationResult:
    """Measures the models, then writes tables, plots and ``report.html`` to the same folder.

    Ray must be initialised. Changes are relative to the first model. Where the config names a
    tracking URI, the evaluation is recorded there as an MLflow run.
    """
    with logged_run(new_run_id()) as log_run:
        evaluation = measure(plan)
        report_input = ReportInput(plan.config, plan.models, plan.weights, *evaluation)
        report, files = write_outputs(report_input, plan.output)
    if plan.config.tracking_uri is not None:
        run = open_run(plan.config.tracking_uri, plan.config.experiment, plan.output.name)
        with run.closing():
            run.set_tags({"rayboot.log_run": log_run})
            run.log_params({"evaluation": plan.config.model_dump(mode="json", exclude={"output"})})
            record_evaluation(run, evaluation, plan, files)
    return EvaluationResult(evaluation, report, files)


_METRICS = {
    "icp": "nme_icp",
    "correspondence": "nme_correspondence",
    "none": "nme_none",
    "nose": "nme_nose",
    "inner": "nme_inner",
    "normals": "normal_deg",
}
"""Names of metrics by ``align`` of a summary's row."""


def record_evaluation(
    run: Run, evaluation: Evaluation, plan: EvaluationPlan, files: list[Path]
) -> None:
    """Logs the mean errors, the rows and the files of an evaluation to an MLflow run."""
    metrics = {
        "/".join([_METRICS[row["align"]], row["dataset"], row["model"], row["band"]]): row["mean"]
        for row in evaluation.summary["rows"]
        if row["side"] == "both"
    }
    run.log_metrics({_metric_name(name): value for name, value in metrics.items()})
    for path in (plan.output / RESULTS, plan.output / SUMMARY, *files):
        run.log_file(path, "evaluation")


def _metric_name(name: str) -> str:
    """Replaces what MLflow does not allow in the name of a metric by underscores."""
    return "".join(c if c.isalnum() or c in "/_-. " else "_" for c in name).replace(" ", "_")
