"""An evaluation as a run of its own: models by name, table, plots and page."""

import csv
import io
import json
from pathlib import Path
from typing import NamedTuple

import rayboot
from rayboot.data.storage import require_writable, write_bytes
from rayboot.errors import RequestError
from rayboot.evaluate.benchmark import FaceError
from rayboot.evaluate.config import EvaluateConfig
from rayboot.evaluate.examples import draw_examples
from rayboot.evaluate.faces import check_faces
from rayboot.evaluate.measure import measure_models
from rayboot.evaluate.plots import plot_nme_against_yaw
from rayboot.evaluate.report import (
    BandRow,
    Figure,
    format_bands,
    tabulate_bands,
    tabulate_both,
    write_report,
)
from rayboot.registry.models import pin_model, resolve_weights

__all__ = ["EvaluationPlan", "EvaluationResult", "evaluate", "prepare_evaluation"]


class EvaluationPlan(NamedTuple):
    """A checked request; ``models`` with every alias pinned to its version."""

    config: EvaluateConfig
    output: Path
    models: dict[str, str]
    weights: dict[str, Path]


class EvaluationResult(NamedTuple):
    """Errors of every face by model, their table as text, and the page."""

    errors: dict[str, list[FaceError]]
    rows: list[BandRow]
    table: str
    report: Path


def prepare_evaluation(config: EvaluateConfig, tracking_uri: str | None = None) -> EvaluationPlan:
    """Checks a request; needs no Ray.

    Raises:
        RequestError: no model or output is named, one is missing, or faces are.
    """
    if not config.models or config.output is None:
        raise RequestError(
            "an evaluation needs `models`, names with a weights file, builtin:compact or "
            "models:/NAME@ALIAS each, and an `output` folder"
        )
    check_faces(config)
    models = {name: pin_model(model, tracking_uri) for name, model in config.models.items()}
    weights = {name: resolve_weights(model, tracking_uri) for name, model in models.items()}
    require_writable(config.output)
    return EvaluationPlan(config, Path(config.output), models, weights)


def evaluate(plan: EvaluationPlan) -> EvaluationResult:
    """Measures the models; writes ``errors.json``, ``table.csv``, ``report.html``.

    Ray must be initialised. Changes are those of the last model against the first.
    """
    config, names = plan.config, list(plan.models)
    errors = measure_models(plan.weights, config)
    rows = tabulate_bands(errors, config.bands)
    write_bytes(str(plan.output / "errors.json"), json.dumps(errors).encode())
    write_bytes(str(plan.output / "table.csv"), _csv(rows, names).encode())
    figures = [
        Figure(
            "Error against yaw",
            "Shaded: the 95 % interval over faces.",
            plot_nme_against_yaw(errors),
        ),
        Figure(
            "Shapes",
            "As the camera sees them and turned back to the front.",
            draw_examples(plan.weights, config),
        ),
    ]
    report = write_report(
        plan.output / "report.html",
        title="Evaluation",
        summary=f"{len(names)} models on {config.data}.",
        columns=names,
        tables=tabulate_both(errors, config.bands),
        figures=figures,
        rejects=None,
        facts={**plan.models, "faces": config.data, "rayboot": rayboot.__version__},
    )
    return EvaluationResult(errors, rows, format_bands(rows, names), report)


def _csv(rows: list[BandRow], names: list[str]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["band_deg", "faces", "model", "nme_percent", "low", "high"])
    for row in rows:
        for name, cell in zip(names, row.cells, strict=True):
            figures = (f"{value:.4f}" for value in (cell.mean, cell.low, cell.high))
            writer.writerow([row.band, row.num_faces, name, *figures])
    return buffer.getvalue()
