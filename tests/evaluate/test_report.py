import re
from pathlib import Path

import numpy as np
import pytest

from rayboot.evaluate.benchmark import FaceError, select_band
from rayboot.evaluate.plots import plot_nme_against_yaw, plot_shapes
from rayboot.evaluate.report import (
    Figure,
    RejectCount,
    format_bands,
    tabulate_bands,
    tabulate_both,
    write_report,
)
from rayboot.evaluate.statistics import mean_interval, paired_change

BANDS = [(0, 15), (60, 90)]


def errors(profile: float, count: int = 40) -> list[FaceError]:
    rng = np.random.default_rng(0)
    yaws = rng.uniform(-90, 90, count)
    noise = rng.normal(0, 0.002, count)
    return [
        FaceError(f"{i:03d}.jpg", yaw, 0.04 + profile * abs(yaw) / 90 + noise[i], 0.1)
        for i, yaw in enumerate(yaws)
    ]


def test_bands_hold_means_in_percent_and_the_paired_change() -> None:
    before, after = errors(0.06), errors(0.03)
    rows = tabulate_bands({"a": before, "b": after}, BANDS)
    assert [row.band for row in rows] == ["0 to 15", "60 to 90"]
    far = select_band(before, 60, 90)
    assert rows[1].num_faces == len(far)
    assert rows[1].cells[0].mean == pytest.approx(100 * np.mean([e.nme_icp for e in far]))
    expected = 100 * (rows[1].cells[1].mean / rows[1].cells[0].mean - 1)
    assert rows[1].change.mean == pytest.approx(expected)
    assert rows[1].change.low < expected < rows[1].change.high < 0


def test_a_face_that_one_model_missed_counts_for_none() -> None:
    before, after = errors(0.06), errors(0.03)
    missed = [e._replace(nme_icp=float("nan")) if i % 5 == 0 else e for i, e in enumerate(after)]
    rows = tabulate_bands({"a": before, "b": missed}, [(0, 90)])
    assert rows[0].num_faces == 32
    assert np.isfinite(rows[0].change.mean)


def test_without_alignment_the_other_error_is_shown() -> None:
    rows = tabulate_bands({"a": errors(0.06), "b": errors(0.03)}, [(0, 90)], "none")
    assert [cell.mean for cell in rows[0].cells] == pytest.approx([10, 10])


def test_an_empty_band_is_left_out() -> None:
    assert tabulate_bands({"a": errors(0.1)}, [(200, 300)]) == []


def test_intervals_cover_the_mean() -> None:
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(60):
        interval = mean_interval(rng.normal(1.0, 0.5, 50))
        covered += interval.low <= 1.0 <= interval.high
    assert covered >= 50
    change = paired_change(np.ones(10), np.full(10, 3.0))
    assert (change.mean, change.low, change.high, change.num_faces) == (2, 2, 2, 10)
    assert np.isnan(mean_interval(np.array([])).mean)


def test_table_as_text() -> None:
    text = format_bands(tabulate_bands({"a": errors(0.06), "b": errors(0.03)}, BANDS), ["a", "b"])
    assert len(text.splitlines()) == 4
    assert "60 to 90" in text


def test_page_is_one_file_without_network(tmp_path: Path) -> None:
    both = {"original": errors(0.06), "bootstrapped": errors(0.03)}
    depth = np.where(np.hypot(*np.mgrid[-8:8, -8:8]) < 6, 1.0, np.nan)
    images = np.zeros((2, 16, 16, 3), np.uint8)
    figures = [
        Figure("Error", "text", plot_nme_against_yaw(both)),
        Figure("Shapes", "text", plot_shapes(images, {"a": np.stack([depth] * 2)}, ["x", "y"])),
    ]
    page = write_report(
        tmp_path / "report.html",
        title="A <b>round</b>",
        summary="What came of it.",
        columns=list(both),
        tables=tabulate_both(both, BANDS),
        figures=figures,
        rejects=[RejectCount("read", "undecodable", 3)],
        facts={"config": "<script>"},
    ).read_text("utf-8")
    assert "<b>round" not in page
    assert "<script>" not in page
    assert page.count("data:image/png;base64,") == 2
    assert not re.search(r"""(src|href)=["']?https?:""", page)
    assert "undecodable" in page
    assert "as the network places it" in page
