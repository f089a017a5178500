"""Mean errors by band of |yaw|, as rows of a table."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from rayboot.evaluate.metrics.statistics import Interval, mean_interval, paired_change
from rayboot.evaluate.results import FaceError, name_band, select_band

__all__ = ["BandRow", "bands_from_summary", "format_bands", "interval_from_row", "tabulate_bands"]


class BandRow(NamedTuple):
    """Mean errors in one band of |yaw|.

    Attributes:
        band: Name of the band.
        num_faces: Number of faces in the band that every model reconstructed.
        cells: Mean error of each model, %.
        change: Change of the last model against the first on the same faces, % of the error of
            the first.
    """

    band: str
    num_faces: int
    cells: list[Interval]
    change: Interval


def tabulate_bands(
    errors: Mapping[str, Sequence[FaceError]],
    bands: Sequence[tuple[float, float]],
    align: Literal["icp", "none"] = "icp",
) -> list[BandRow]:
    """Returns the mean NME in % by band of |yaw|, for the faces that every model reconstructed.

    Bands without such a face are left out.

    Args:
        errors: Errors by model, all in the same order of faces.
        bands: Bounds (low, high) of |yaw|, degrees, both ends included.
        align: ``icp`` for errors after rigid ICP, ``none`` for shapes as the network placed them.
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
        rows.append(BandRow(name_band(low, high), values.shape[1], cells, change))
    return rows


def bands_from_summary(summary: Mapping[str, Any], dataset_name: str, align: str) -> list[BandRow]:
    """Returns the rows of one dataset in a summary: first all faces, then each band with faces."""
    by_band: dict[str, list[Mapping[str, Any]]] = {}
    for row in summary["rows"]:
        if (row["dataset"], row["align"], row["side"]) == (dataset_name, align, "both"):
            by_band.setdefault(row["band"], []).append(row)
    return [
        BandRow(
            band,
            rows[0]["faces"],
            [interval_from_row(row) for row in rows],
            interval_from_row(rows[-1], "change_"),
        )
        for band, rows in by_band.items()
    ]


def interval_from_row(row: Mapping[str, Any], prefix: Literal["", "change_"] = "") -> Interval:
    """Returns the mean error in a row of a summary, or with ``change_`` its change."""
    mean, low, high = (row[f"{prefix}{part}"] for part in ("mean", "low", "high"))
    return Interval(mean, low, high, row["faces"])


def format_bands(rows: Sequence[BandRow], columns: Sequence[str]) -> str:
    """Returns the table as text for a terminal."""
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
