import numpy as np
import pytest

from rayboot.evaluate.metrics.bands import bands_from_summary, format_bands, tabulate_bands
from rayboot.evaluate.metrics.statistics import mean_interval, paired_change
from rayboot.evaluate.report.outputs import ReportInput
from rayboot.evaluate.results import FaceError, select_band

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


def test_a_face_that_one_model_failed_on_counts_for_no_model() -> None:
    before, after = errors(0.06), errors(0.03)
    missed = [e._replace(nme_icp=float("nan")) if i % 5 == 0 else e for i, e in enumerate(after)]
    rows = tabulate_bands({"a": before, "b": missed}, [(0, 90)])
    assert rows[0].num_faces == 32
    assert np.isfinite(rows[0].change.mean)


def test_errors_without_alignment_can_be_tabulated() -> None:
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


def test_rows_of_a_summary_begin_with_one_of_all_faces(report_input: ReportInput) -> None:
    config, summary = report_input.config, report_input.summary
    results = report_input.measurements.results
    (name,) = config.datasets
    rows = bands_from_summary(summary, name, "icp")
    assert [row.band for row in rows] == ["all", "0 to 30", "30 to 90"]
    assert rows[0].num_faces == 23
    for row, expected in zip(rows[1:], tabulate_bands(results.errors(), config.bands), strict=True):
        assert row.num_faces == expected.num_faces
        for interval, other in zip(
            [*row.cells, row.change], [*expected.cells, expected.change], strict=True
        ):
            assert interval == pytest.approx(other)
    doubled = bands_from_summary(summary, name, "correspondence")
    assert doubled[0].cells[0].mean == pytest.approx(2 * rows[0].cells[0].mean)


def test_table_as_text() -> None:
    text = format_bands(tabulate_bands({"a": errors(0.06), "b": errors(0.03)}, BANDS), ["a", "b"])
    assert len(text.splitlines()) == 4
    assert "60 to 90" in text
