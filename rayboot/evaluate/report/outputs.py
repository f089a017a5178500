"""All that is drawn and written of an evaluation: tables, plots, panels and the page."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

import rayboot
from rayboot.data.images import make_thumbnail
from rayboot.evaluate.datasets.base import EvalDataset
from rayboot.evaluate.evaluation_config import MeasureConfig
from rayboot.evaluate.measure import Measurements
from rayboot.evaluate.metrics.bands import bands_of_summary
from rayboot.evaluate.protocol import Alignment
from rayboot.evaluate.report.examples import Example, make_examples, pick_by_yaw, read_dataset_faces
from rayboot.evaluate.report.html_page import (
    BandTable,
    DatasetSection,
    Figure,
    Page,
    RejectCount,
    write_report,
)
from rayboot.evaluate.report.panels import draw_panels
from rayboot.evaluate.report.plots import (
    plot_by_band,
    plot_cumulative,
    plot_nme_against_yaw,
    plot_yaw_histogram,
)
from rayboot.evaluate.report.summary import summarize
from rayboot.evaluate.report.tables import (
    describe_protocol,
    model_blocks,
    table_latex,
    table_markdown,
)
from rayboot.evaluate.report.viewer import build_viewer_data
from rayboot.evaluate.report.worst_faces import count_failures, pick_worst
from rayboot.io.storage import write_bytes
from rayboot.models import read_config

__all__ = ["PageContext", "ReportInput", "file_names", "write_outputs"]

_PANELS, _WORST = 5, 20
"""Faces a set: drawn with their shapes, and named as the worst."""

_TURNED, _TURNED_OF_A_SET = 4, 3
"""Faces whose shapes can be turned, of all sets and of one, but one of each: every one costs the
page 0.7 MB."""

_TABLES: dict[Alignment, str] = {
    "icp": "NME in %, after rigid ICP",
    "correspondence": "NME in %, where the shapes were, ICP only says which points belong together",
    "none": "NME in %, to the closest points without any alignment",
}


class ReportInput(NamedTuple):
    """What is written of.

    Attributes:
        config: of the evaluation.
        models: by name, pinned; the first is what the others are compared with.
        weights: local files by the models' names.
        measured: of it.
    """

    config: MeasureConfig
    models: Mapping[str, str]
    weights: Mapping[str, Path]
    measured: Measurements


class PageContext(NamedTuple):
    """What stands around an evaluation on the page, where it is part of something larger.

    Attributes:
        title: of the page.
        summary: a sentence or two above all; None says what was compared.
        figures: shown before the evaluation's own.
        rejects: photographs that were left out; None leaves the section out.
        facts: how it was made, further ones.
    """

    title: str = "Evaluation"
    summary: str | None = None
    figures: Sequence[Figure] = ()
    rejects: Sequence[RejectCount] | None = None
    facts: Mapping[str, str] = {}


def write_outputs(
    subject: ReportInput, output: Path, frame: PageContext | None = None, page: Path | None = None
) -> tuple[Path, list[Path]]:
    """Writes everything into the folder ``output``, and the page there or to ``page``.

    Returns:
        The page, and all files, the page among them.
    """
    frame, config = frame or PageContext(), subject.config
    summary = summarize(subject.measured, config, subject.models, {})
    files = [
        _write(output / "table1.md", table_markdown(summary)),
        _write(output / "table1.tex", table_latex(summary)),
    ]
    models = list(subject.models)
    sections, examples = list[DatasetSection](), list[tuple[str, Example]]()
    for (name, faces), stem in zip(
        config.datasets.items(), file_names(config.datasets), strict=True
    ):
        listed = faces.list_faces().rows
        shown = _examples(subject, name, faces, listed)
        plots = _plots(subject, name)
        panels = _panels(shown, models)
        for part, figure in {**plots, **({"panels": panels} if panels else {})}.items():
            files.append(_write(output / "plots" / f"{stem}-{part}.png", figure.image))
        pictures = _Pictures(list(plots.values()), panels, _thumbnails(subject, name, listed))
        sections.append(_section(subject, name, summary, pictures))
        examples += [(name, example) for example in _few(shown, len(config.datasets))]
    report = write_report(
        page or output / "report.html",
        Page(
            title=frame.title,
            summary=frame.summary or f"{', '.join(models)} on {', '.join(config.datasets)}.",
            models=models,
            blocks=model_blocks(summary),
            key=describe_protocol(summary),
            datasets=sections,
            shapes=build_viewer_data(examples, models),
            figures=frame.figures,
            rejects=frame.rejects,
            facts={**subject.models, **frame.facts, "rayboot": rayboot.__version__},
        ),
    )
    return report, [*files, report]


def file_names(names: Sequence[str] | Mapping[str, Any]) -> list[str]:
    """A stem of a file name for each name: plain letters, digits and a few signs, all different."""
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


class _Pictures(NamedTuple):
    plots: list[Figure]
    panels: Figure | None
    thumbnails: dict[str, bytes]


def _examples(
    subject: ReportInput, name: str, faces: EvalDataset, listed: pa.Table
) -> list[Example]:
    errors = next(iter(subject.measured.results.errors(name).values()))
    chosen = pick_by_yaw(errors, _PANELS)
    return make_examples(subject.weights, faces, errors, chosen, subject.config.protocol, listed)


def _few(examples: Sequence[Example], num_sets: int) -> list[Example]:
    """Those whose shapes can be turned, from the most frontal to the farthest turned."""
    count = max(1, min(_TURNED_OF_A_SET, _TURNED // num_sets))
    if count == 1 or not examples:
        return list(examples[len(examples) // 2 :][:1])
    places = np.linspace(0, len(examples) - 1, count).round().astype(int)
    return [examples[place] for place in np.unique(places)]


def _plots(subject: ReportInput, name: str) -> dict[str, Figure]:
    """Plots of a set by the end of their file's name; without yaw only the cumulative one."""
    errors = subject.measured.results.errors(name)
    first = next(iter(errors.values()))
    yaw = np.array([face.yaw_deg for face in first if np.isfinite(face.yaw_deg)])
    figures: dict[str, Figure] = {}
    if len(yaw):
        text = "The band is the 95 % interval over faces."
        figures["yaw"] = Figure("Error against yaw", text, plot_nme_against_yaw(errors))
    if (yaw < 0).any() and (yaw > 0).any():
        plot = plot_nme_against_yaw(errors, signed=True)
        text = "Left and right apart."
        figures["yaw-signed"] = Figure("Error against signed yaw", text, plot)
    if len(yaw):
        text = "Whiskers: the 95 % interval over faces."
        plot = plot_by_band(errors, subject.config.bands)
        figures["bands"] = Figure("Error by band of yaw", text, plot)
    text = "Share of faces below an error; one that a model failed on lies below none."
    figures["cumulative"] = Figure("Cumulative error", text, plot_cumulative(errors))
    if len(yaw):
        text = "How many faces look where, in bins of 10 degrees."
        figures["histogram"] = Figure("Yaw of the faces", text, plot_yaw_histogram(first))
    return figures


def _panels(examples: list[Example], models: Sequence[str]) -> Figure | None:
    if not examples:
        return None
    text = (
        "From the most frontal face to the farthest turned, chosen by yaw alone: photo, shapes as "
        "the camera sees them and turned back to the front, and the truth coloured by its "
        "distance to the first and the last model's shape."
    )
    return Figure("Photos and shapes", text, draw_panels(examples, models))


def _thumbnails(subject: ReportInput, name: str, listed: pa.Table) -> dict[str, bytes]:
    """JPEG bytes by ``face_id``, of the worst faces."""
    worst = pick_worst(subject.measured.results.errors(name), _WORST)
    # A set of pairs has crops of its network's size alone.
    size = read_config(next(iter(subject.weights.values()))).resolution
    chosen = [face.face_id for face in worst]
    found = read_dataset_faces(subject.config.datasets[name], chosen, size, listed)
    return {face.face_id: make_thumbnail(face.image) for face in found}


def _section(
    subject: ReportInput, name: str, summary: Mapping[str, Any], pictures: _Pictures
) -> DatasetSection:
    errors, facts = subject.measured.results.errors(name), summary["datasets"][name]
    return DatasetSection(
        name=name,
        facts=subject.config.datasets[name].describe(),
        num_faces=facts["faces"],
        num_measured=facts["measured"],
        note=facts["note"],
        tables=[
            BandTable(title, bands_of_summary(summary, name, align))
            for align, title in _TABLES.items()
        ],
        plots=pictures.plots,
        panels=pictures.panels,
        worst=pick_worst(errors, _WORST),
        thumbnails=pictures.thumbnails,
        failures=count_failures(errors, subject.measured.faults.get(name, [])),
    )
