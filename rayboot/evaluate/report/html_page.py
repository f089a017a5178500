"""The HTML page of an evaluation: one file that needs no other file and no network."""

from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

from rayboot.evaluate.metrics.bands import BandRow
from rayboot.evaluate.report.plots import assign_model_colors
from rayboot.evaluate.report.tables import ModelBlock
from rayboot.evaluate.report.worst_faces import FailureGroup, WorstFace
from rayboot.io.storage import write_bytes
from rayboot.pages import render_document
from rayboot.viewer import read_viewer_script

__all__ = [
    "BandTable",
    "DatasetSection",
    "Page",
    "RejectCount",
    "ReportFigure",
    "write_page",
]

_MAX_IDS, _MAX_REASONS = 100, 40
"""Maximum number of face ids per reason and of reasons on the page; ``summary.json`` has all."""


class ReportFigure(NamedTuple):
    """A figure of the page.

    Attributes:
        title: Title of the figure.
        text: Its caption.
        image: PNG or JPEG bytes.
    """

    title: str
    text: str
    image: bytes


class RejectCount(NamedTuple):
    """Number of photos that one stage rejected for one reason."""

    stage: str
    reason: str
    num_photos: int


class BandTable(NamedTuple):
    """A table of errors by yaw band, with its title."""

    title: str
    rows: list[BandRow]


class DatasetSection(NamedTuple):
    """Content of the section about one dataset.

    Attributes:
        name: Name of the dataset.
        facts: Facts about the dataset, such as its truth.
        num_faces: Number of its faces, without excluded ones.
        num_measured: Number of faces with an error, by model.
        note: Remark on the number of faces; may be empty.
        tables: Errors by band; the first is shown, the others are collapsed.
        plots: Plots, in order.
        panels: Crops and shapes of some faces; None where there is no shape to show.
        worst: The worst faces, worst first.
        thumbnails: JPEG bytes by ``face_id``; some may be missing.
        failures: Faces without an error.
    """

    name: str
    facts: Mapping[str, str]
    num_faces: int
    num_measured: Mapping[str, int]
    note: str
    tables: Sequence[BandTable]
    plots: Sequence[ReportFigure]
    panels: ReportFigure | None
    worst: Sequence[WorstFace]
    thumbnails: Mapping[str, bytes]
    failures: Sequence[FailureGroup]


class Page(NamedTuple):
    """Content of the page.

    Attributes:
        title: Title of the page.
        summary: One or two sentences.
        models: Models in the order of the tables' columns; the first is the reference.
        blocks: Mean errors of every model and dataset.
        key: How errors are measured.
        datasets: Sections of the datasets, in order.
        shapes: Result of :func:`rayboot.evaluate.report.viewer.build_viewer_data`; None omits the
            section.
        figures: Figures that precede the datasets.
        rejects: Rejected photos; None omits the section.
        facts: How the report was made.
    """

    title: str
    summary: str
    models: Sequence[str]
    blocks: Sequence[ModelBlock]
    key: str
    datasets: Sequence[DatasetSection]
    shapes: Mapping[str, Any] | None
    figures: Sequence[ReportFigure]
    rejects: Sequence[RejectCount] | None
    facts: Mapping[str, str]


def write_page(path: Path, page: Page) -> Path:
    """Writes the page, with its images, styles and scripts embedded.

    Returns:
        ``path``.
    """
    has_viewer = page.shapes is not None
    scripts = [read_viewer_script(), _read_resource("report.js")] if has_viewer else []
    text = render_document(
        _read_resource("report.html.j2"),
        {
            **page._asdict(),
            "colors": assign_model_colors(page.models),
            "max_ids": _MAX_IDS,
            "max_reasons": _MAX_REASONS,
        },
        _read_resource("report.css"),
        scripts,
    )
    write_bytes(str(path), text.encode())
    return path


def _read_resource(name: str) -> str:
    return resources.files("rayboot.evaluate.report").joinpath(name).read_text("utf-8")
