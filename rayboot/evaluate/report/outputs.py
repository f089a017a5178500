"""All output files of an evaluation: tables, plots, panels and the HTML page."""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

import rayboot
from rayboot.data.images import make_thumbnail
from rayboot.data.subsets import evenly_spaced
from rayboot.evaluate.evaluation_config import MeasureConfig
from rayboot.evaluate.measurements import Measurements
from rayboot.evaluate.metrics.bands import bands_from_summary
from rayboot.evaluate.report.examples import Example, make_examples, pick_by_yaw, read_dataset_faces
from rayboot.evaluate.report.html_page import (
    BandTable,
    DatasetSection,
    Page,
    RejectCount,
    ReportFigure,
    write_page,
)
from rayboot.evaluate.report.panels import draw_panels
from rayboot.evaluate.report.plots import (
    plot_by_band,
    plot_cumulative,
    plot_nme_against_yaw,
    plot_yaw_histogram,
)
from rayboot.evaluate.report.tables import (
    build_model_blocks,
    describe_protocol,
    format_latex_table,
    format_markdown_table,
)
from rayboot.evaluate.report.viewer import build_viewer_data
from rayboot.evaluate.report.worst_faces import group_failures, pick_worst_faces
from rayboot.io.storage import write_bytes
from rayboot.models import read_config

__all__ = ["PageContext", "ReportInput", "make_file_stems", "write_outputs"]

_NUM_PANEL_FACES, _NUM_WORST_FACES = 5, 20
"""Number of faces of each dataset that are drawn with their shapes, and named as the worst."""

_MAX_VIEWER_FACES, _MAX_VIEWER_FACES_OF_DATASET = 4, 3
"""Maximum number of faces in the 3D viewer, of all datasets and of one; every dataset has at least
one. Each adds 0.7 MB to the page."""

_TABLE_TITLES = {
    "icp": "NME in %, after rigid ICP",
    "correspondence": "NME in %, at the original positions of points that ICP finds to correspond",
    "none": "NME in %, to the closest points without any alignment",
    "nose": "NME of the nose in %, after rigid ICP",
    "inner": "NME of the 51 inner landmarks in %, to the front alone, after rigid ICP",
    "normals": "Error of the normals in degrees, after rigid ICP",
}


class ReportInput(NamedTuple):
    """The evaluation that a report describes.

    Attributes:
        config: Config of the evaluation.
        models: URIs of the models by name, pinned; the first is the reference.
        weights: Local weights files, by model name.
        measurements: Errors, and the faces that were not measured.
        summary: Result of :func:`rayboot.evaluate.report.summary.summarize`.
    """

    config: MeasureConfig
    models: Mapping[str, str]
    weights: Mapping[str, Path]
    measurements: Measurements
    summary: Mapping[str, Any]


class PageContext(NamedTuple):
    """Further content of the page, where the evaluation is part of a larger run.

    Attributes:
        title: Title of the page.
        summary: One or two sentences at the top; None names the models and datasets.
        figures: Figures that precede the evaluation's own.
        rejects: Rejected photos; None omits the section.
        facts: Further facts on how the report was made.
    """

    title: str = "Evaluation"
    summary: str | None = None
    figures: Sequence[ReportFigure] = ()
    rejects: Sequence[RejectCount] | None = None
    facts: Mapping[str, str] = {}


def write_outputs(
    report_input: ReportInput,
    output: Path,
    context: PageContext | None = None,
    page: Path | None = None,
) -> tuple[Path, list[Path]]:
    """Writes all files into the folder ``output``, and the page there or to ``page``.

    Returns:
        Path of the page, and the paths of all files including the page.
    """
    context = context or PageContext()
    config, summary = report_input.config, report_input.summary
    files = [
        _write(output / "table1.md", format_markdown_table(summary)),
        _write(output / "table1.tex", format_latex_table(summary)),
    ]
    models = list(report_input.models)
    sections, viewer_faces = list[DatasetSection](), list[tuple[str, Example]]()
    for name, stem in zip(config.datasets, make_file_stems(config.datasets), strict=True):
        listed = config.datasets[name].list_faces().rows
        examples = _make_examples(report_input, name, listed)
        plots = _draw_plots(report_input, name)
        panels = _draw_panels(examples, models)
        for part, figure in {**plots, **({"panels": panels} if panels else {})}.items():
            files.append(_write(output / "plots" / f"{stem}-{part}.png", figure.image))
        thumbnails = _make_thumbnails(report_input, name, listed)
        figures = _DatasetFigures(list(plots.values()), panels, thumbnails)
        sections.append(_make_section(report_input, name, figures))
        chosen = _pick_viewer_examples(examples, len(config.datasets))
        viewer_faces += [(name, example) for example in chosen]
    report = write_page(
        page or output / "report.html",
        Page(
            title=context.title,
            summary=context.summary or f"{', '.join(models)} on {', '.join(config.datasets)}.",
            models=models,
            blocks=build_model_blocks(summary),
            key=describe_protocol(summary),
            datasets=sections,
            shapes=build_viewer_data(viewer_faces, models),
            figures=context.figures,
            rejects=context.rejects,
            facts={**report_input.models, **context.facts, "rayboot": rayboot.__version__},
        ),
    )
    return report, [*files, report]


def make_file_stems(names: Iterable[str]) -> list[str]:
    """Returns a stem of a file name for each name.

    Stems consist of ASCII letters, digits, ``.``, ``_`` and ``-``, and differ from each other even
    where case is ignored.
    """
    stems: list[str] = []
    for name in names:
        stem = plain = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "set"
        while stem.lower() in {other.lower() for other in stems}:
            stem = f"{plain}-{len(stems) + 1}"
        stems.append(stem)
    return stems


def _write(path: Path, content: str | bytes) -> Path:
    write_bytes(str(path), content.encode() if isinstance(content, str) else content)
    return path


class _DatasetFigures(NamedTuple):
    plots: list[ReportFigure]
    panels: ReportFigure | None
    thumbnails: dict[str, bytes]


def _make_examples(report_input: ReportInput, name: str, listed: pa.Table) -> list[Example]:
    errors = next(iter(report_input.measurements.results.errors(name).values()))
    face_ids = pick_by_yaw(errors, _NUM_PANEL_FACES)
    config = report_input.config
    return make_examples(
        report_input.weights, config.datasets[name], errors, face_ids, config.protocol, listed
    )


def _pick_viewer_examples(examples: Sequence[Example], num_datasets: int) -> list[Example]:
    """Picks the examples of a dataset for the 3D viewer, evenly spaced in their order of yaw."""
    count = max(1, min(_MAX_VIEWER_FACES_OF_DATASET, _MAX_VIEWER_FACES // num_datasets))
    if count == 1 or not examples:
        return list(examples[len(examples) // 2 :][:1])
    return [examples[index] for index in evenly_spaced(len(examples), count)]


def _draw_plots(report_input: ReportInput, name: str) -> dict[str, ReportFigure]:
    """Draws the plots of a dataset, by the last part of their file name.

    Where no yaw is known, only the cumulative plot is drawn.
    """
    errors = report_input.measurements.results.errors(name)
    first = next(iter(errors.values()))
    yaw = np.array([face.yaw_deg for face in first if np.isfinite(face.yaw_deg)])
    figures: dict[str, ReportFigure] = {}
    if len(yaw):
        text = "The band is the 95 % interval over faces."
        figures["yaw"] = ReportFigure("Error against yaw", text, plot_nme_against_yaw(errors))
    if (yaw < 0).any() and (yaw > 0).any():
        plot = plot_nme_against_yaw(errors, signed=True)
        text = "Left and right are shown separately."
        figures["yaw-signed"] = ReportFigure("Error against signed yaw", text, plot)
    if len(yaw):
        text = "Whiskers: the 95 % interval over faces."
        plot = plot_by_band(errors, report_input.config.bands)
        figures["bands"] = ReportFigure("Error by band of yaw", text, plot)
    text = "Fraction of faces below an error; a face that a model failed on is below none."
    figures["cumulative"] = ReportFigure("Cumulative error", text, plot_cumulative(errors))
    if len(yaw):
        text = "Number of faces by yaw, in bins of 10 degrees."
        figures["histogram"] = ReportFigure("Yaw of the faces", text, plot_yaw_histogram(first))
    return figures


def _draw_panels(examples: list[Example], models: Sequence[str]) -> ReportFigure | None:
    if not examples:
        return None
    text = (
        "From the most frontal face to the one with the largest yaw, chosen by yaw alone: crop, "
        "shapes as the camera sees them and rotated back to a frontal view, and the truth coloured "
        "by its distance to the shapes of the first and the last model."
    )
    return ReportFigure("Photos and shapes", text, draw_panels(examples, models))


def _make_thumbnails(report_input: ReportInput, name: str, listed: pa.Table) -> dict[str, bytes]:
    """Returns JPEG bytes by ``face_id``, of the worst faces."""
    worst = pick_worst_faces(report_input.measurements.results.errors(name), _NUM_WORST_FACES)
    # A pairs data set has crops of its network's input size only.
    size = read_config(next(iter(report_input.weights.values()))).resolution
    face_ids = [face.face_id for face in worst]
    faces = read_dataset_faces(report_input.config.datasets[name], face_ids, size, listed)
    return {face.face_id: make_thumbnail(face.image) for face in faces}


def _make_section(report_input: ReportInput, name: str, figures: _DatasetFigures) -> DatasetSection:
    measurements, summary = report_input.measurements, report_input.summary
    errors, facts = measurements.results.errors(name), summary["datasets"][name]
    return DatasetSection(
        name=name,
        facts=report_input.config.datasets[name].describe(),
        num_faces=facts["faces"],
        num_measured=facts["measured"],
        note=facts["note"],
        tables=[
            BandTable(title, rows)
            for align, title in _TABLE_TITLES.items()
            if (rows := bands_from_summary(summary, name, align))
        ],
        plots=figures.plots,
        panels=figures.panels,
        worst=pick_worst_faces(errors, _NUM_WORST_FACES),
        thumbnails=figures.thumbnails,
        failures=group_failures(errors, measurements.excluded.get(name, [])),
    )
