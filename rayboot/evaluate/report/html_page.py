"""The page of an evaluation: one HTML file that needs nothing else and no network.

Names come from files and configs of others. Jinja escapes them, in JSON as well, and the
page's own policy lets no script run but those it was written with.
"""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
import numpy as np

from rayboot.evaluate.metrics.bands import BandRow, format_bands, tabulate_bands
from rayboot.evaluate.report.plots import model_colors
from rayboot.evaluate.report.tables import ModelBlock
from rayboot.evaluate.report.worst_faces import Failures, WorstFace
from rayboot.io.storage import write_bytes

__all__ = [
    "BandRow",
    "BandTable",
    "DatasetSection",
    "Figure",
    "Page",
    "RejectCount",
    "format_bands",
    "tabulate_bands",
    "write_report",
]

_SHOWN_IDS, _SHOWN_REASONS = 100, 40
"""More names a reason, and more reasons, would only make the page long; all are in
``summary.json``."""


class Figure(NamedTuple):
    """A picture of the page."""

    title: str
    text: str
    image: bytes


class RejectCount(NamedTuple):
    """How many photographs one stage refused for one reason."""

    stage: str
    reason: str
    num_photos: int


class BandTable(NamedTuple):
    """Rows of the page under a title of their own."""

    title: str
    rows: list[BandRow]


class DatasetSection(NamedTuple):
    """What the page says of one set.

    Attributes:
        name: of the set.
        facts: such as what stands for the truth.
        num_faces: that were met.
        num_measured: by model, how many of them have a number.
        note: a sentence on the count; may be empty.
        tables: errors by band; the first is open, the others fold.
        plots: in order.
        panels: photos and shapes; None where there is no shape to show.
        worst: faces, the worst first.
        thumbnails: JPEG bytes by ``face_id``; some may be missing.
        failures: faces without a number.
    """

    name: str
    facts: Mapping[str, str]
    num_faces: int
    num_measured: Mapping[str, int]
    note: str
    tables: Sequence[BandTable]
    plots: Sequence[Figure]
    panels: Figure | None
    worst: Sequence[WorstFace]
    thumbnails: Mapping[str, bytes]
    failures: Sequence[Failures]


class Page(NamedTuple):
    """All that is on the page.

    Attributes:
        title: of the page.
        summary: a sentence or two.
        models: in the order of every table's columns; the first is what others are compared with.
        blocks: means of every model and set.
        key: how errors are measured.
        sets: in order.
        shapes: of :func:`rayboot.evaluate.report.viewer.build_viewer_data`; None leaves the section out.
        figures: shown before the sets.
        rejects: photographs left out; None leaves the section out.
        facts: how this was made.
    """

    title: str
    summary: str
    models: Sequence[str]
    blocks: Sequence[ModelBlock]
    key: str
    datasets: Sequence[DatasetSection]
    shapes: Mapping[str, Any] | None
    figures: Sequence[Figure]
    rejects: Sequence[RejectCount] | None
    facts: Mapping[str, str]


def write_report(path: Path, page: Page) -> Path:
    """Writes the page; pictures, styles and scripts are inside it.

    Returns:
        ``path``.
    """
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "number": lambda value: f"{value:.2f}" if np.isfinite(value) else "–",
        "signed": _signed,
        "data_uri": _data_uri,
    }
    scripts = [_resource("report.js")]
    if page.shapes is not None:
        scripts.insert(0, _plotly())
    text = environment.from_string(_resource("report.html.j2")).render(
        page._asdict(),
        colors=model_colors(page.models),
        scripts=scripts,
        script_hashes=[_hash(script) for script in scripts],
        styles=_resource("report.css"),
        shown_ids=_SHOWN_IDS,
        shown_reasons=_SHOWN_REASONS,
    )
    write_bytes(str(path), text.encode())
    return path


def _resource(name: str) -> str:
    return resources.files("rayboot.evaluate.report").joinpath(name).read_text("utf-8")


def _plotly() -> str:
    """The library in one script, its licence at the top, without what would end the script."""
    # Takes a second and is needed here alone.
    from plotly.offline import get_plotlyjs

    return get_plotlyjs().replace("\r\n", "\n").replace("</script", "<\\/script")


def _hash(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _signed(value: float, digits: int = 1) -> str:
    """With its sign, a real minus; a dash for NaN."""
    return f"{value:+.{digits}f}".replace("-", "−") if np.isfinite(value) else "–"


def _data_uri(image: bytes) -> str:
    kind = "png" if image.startswith(b"\x89PNG") else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(image).decode()}"
