"""One self-contained HTML page about a round."""

import base64
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Literal, NamedTuple

import jinja2
import numpy as np

from rayboot.evaluate.benchmark import FaceError, select_band
from rayboot.evaluate.statistics import Interval, mean_interval, paired_change

__all__ = [
    "BandRow",
    "Figure",
    "RejectCount",
    "Table",
    "format_bands",
    "tabulate_bands",
    "tabulate_both",
    "write_report",
]


class BandRow(NamedTuple):
    """One band of |yaw|.

    Attributes:
        band: its name.
        num_faces: in it.
        cells: error of each model, %.
        change: of the last model against the first on the same faces, % of the first's error.
    """

    band: str
    num_faces: int
    cells: list[Interval]
    change: Interval


class Table(NamedTuple):
    """Rows of the page under a title of their own."""

    title: str
    rows: list[BandRow]


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


def tabulate_bands(
    errors: Mapping[str, Sequence[FaceError]],
    bands: Sequence[tuple[float, float]],
    align: Literal["icp", "none"] = "icp",
) -> list[BandRow]:
    """Mean NME in % by band of |yaw|, for the faces that every model reconstructed.

    Args:
        errors: by model, in the same order of faces.
        bands: (low, high) of |yaw|, degrees, both ends included.
        align: after rigid ICP, or as the network placed the shape.
    """
    field = f"nme_{align}"
    rows = []
    for low, high in bands:
        values = np.array(
            [
                [100 * getattr(face, field) for face in select_band(faces, low, high)]
                for faces in errors.values()
            ]
        )
        values = values[:, np.isfinite(values).all(axis=0)]
        if values.shape[1] == 0:
            continue
        cells = [mean_interval(row) for row in values]
        change = paired_change(values[0] / cells[0].mean, values[-1] / cells[0].mean)
        change = Interval(100 * change.mean, 100 * change.low, 100 * change.high, change.num_faces)
        name = f"{low:g} to {high:g}" if low != high else f"{low:g}"
        rows.append(BandRow(name, values.shape[1], cells, change))
    return rows


def tabulate_both(
    errors: Mapping[str, Sequence[FaceError]], bands: Sequence[tuple[float, float]]
) -> list[Table]:
    """The page's tables: after rigid ICP, and without any alignment."""
    return [
        Table("Error by yaw, after rigid ICP", tabulate_bands(errors, bands)),
        Table("Error by yaw, as the network places it", tabulate_bands(errors, bands, "none")),
    ]


def format_bands(rows: Sequence[BandRow], columns: Sequence[str]) -> str:
    """The table as text, for a terminal."""
    lines = [["|yaw|", "faces", *columns, "change"]]
    for row in rows:
        errors = [f"{cell.mean:.2f} %" for cell in row.cells]
        low, high = row.change.low, row.change.high
        change = f"{row.change.mean:+.1f} % [{low:+.1f}, {high:+.1f}]"
        lines.append([row.band, str(row.num_faces), *errors, change])
    widths = [max(len(line[k]) for line in lines) for k in range(len(lines[0]))]
    text = [
        "  ".join(cell.rjust(n) for cell, n in zip(line, widths, strict=True)) for line in lines
    ]
    return "\n".join(["NME after ICP, % of the outer eye distance", *text])


def write_report(
    path: Path,
    *,
    title: str,
    summary: str,
    columns: Sequence[str],
    tables: Sequence[Table],
    figures: Sequence[Figure],
    rejects: Sequence[RejectCount] | None,
    facts: Mapping[str, str],
) -> Path:
    """Writes the page; pictures are inside it, names from outside are escaped.

    Args:
        path: of the page.
        title: of the page.
        summary: one or two sentences.
        columns: names of the models, in the order of the rows' cells.
        tables: in order.
        figures: in order.
        rejects: photographs left out; None leaves the section out.
        facts: how this was made.

    Returns:
        ``path``.
    """
    source = resources.files("rayboot.evaluate").joinpath("report.html.j2").read_text("utf-8")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    pictures = [
        {
            "title": figure.title,
            "text": figure.text,
            "format": "png" if figure.image.startswith(b"\x89PNG") else "jpeg",
            "data": base64.b64encode(figure.image).decode(),
        }
        for figure in figures
    ]
    page = environment.from_string(source).render(
        title=title,
        summary=summary,
        columns=columns,
        tables=tables,
        figures=pictures,
        rejects=rejects,
        facts=facts,
    )
    path.write_text(page, encoding="utf-8")
    return path
