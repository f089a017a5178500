"""One self-contained HTML page about a round."""

import base64
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import NamedTuple

import jinja2
import numpy as np

from rayboot.evaluate.benchmark import FaceError, select_band
from rayboot.evaluate.statistics import Interval, mean_interval

__all__ = ["BandRow", "Figure", "RejectCount", "tabulate_bands", "write_report"]


class BandRow(NamedTuple):
    """One band of |yaw|: its name, faces, each model's error in %, and the last
    model's change against the first in % of it."""

    band: str
    count: int
    cells: list[Interval]
    change: float


class Figure(NamedTuple):
    """A picture of the page."""

    title: str
    text: str
    image: bytes


class RejectCount(NamedTuple):
    """How many photographs one stage refused for one reason."""

    stage: str
    reason: str
    count: int


def tabulate_bands(
    errors: Mapping[str, Sequence[FaceError]], bands: Sequence[tuple[float, float]]
) -> list[BandRow]:
    """Mean ICP NME in % by band of |yaw|, for the faces that every model reconstructed.

    Args:
        errors: by model, in the same order of faces.
        bands: (low, high) of |yaw|, degrees, both ends included.
    """
    rows = []
    for low, high in bands:
        values = np.array(
            [[100 * face.nme_icp for face in select_band(faces, low, high)] for faces in errors.values()]
        )
        values = values[:, np.isfinite(values).all(axis=0)]
        if values.shape[1] == 0:
            continue
        cells = [mean_interval(row) for row in values]
        change = 100 * (cells[-1].mean / cells[0].mean - 1)
        name = f"{low:g} to {high:g}" if low != high else f"{low:g}"
        rows.append(BandRow(name, values.shape[1], cells, change))
    return rows


def write_report(
    path: Path,
    *,
    title: str,
    summary: str,
    columns: Sequence[str],
    rows: Sequence[BandRow],
    figures: Sequence[Figure],
    rejects: Sequence[RejectCount],
    facts: Mapping[str, str],
) -> Path:
    """Writes the page; pictures are inside it, names from outside are escaped.

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
        rows=rows,
        figures=pictures,
        rejects=rejects,
        facts=facts,
    )
    path.write_text(page, encoding="utf-8")
    return path
