"""An evaluation folder of version 0.1 is read, and resumed where its content agrees."""

import hashlib
import json
from pathlib import Path

import pytest

from rayboot.errors import RequestError
from rayboot.evaluate.evaluation_config import MeasureConfig
from rayboot.evaluate.measure import measure_models
from rayboot.evaluate.measurements import Measurements
from rayboot.evaluate.metrics.bands import tabulate_bands
from rayboot.evaluate.report.summary import summarize
from rayboot.evaluate.results import RESULT_SCHEMA, Results, read_result_rows
from rayboot.io.parquet import read_table

MODELS = ("original", "bootstrapped")


def measure_again(version_0_1: Path, protocol: dict[str, object] | None = None) -> Measurements:
    """Calls the measurement of the same models and dataset; it needs no Ray if all is finished."""
    weights = dict(
        zip(
            MODELS,
            (version_0_1 / "tiny.safetensors", version_0_1 / "round/candidate.safetensors"),
            strict=True,
        )
    )
    digests = {
        name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in weights.items()
    }
    datasets = {"made faces": {"kind": "synthetic", "data": "test-photos"}}
    config = MeasureConfig(datasets=datasets, protocol=protocol or {})
    return measure_models(weights, config, version_0_1 / "round/evaluation/rows", digests)


@pytest.mark.parametrize("name", ["results.parquet", "rows/made faces/part-000000.parquet"])
def test_rows_are_read(version_0_1: Path, name: str) -> None:
    path = version_0_1 / "round/evaluation" / name
    assert "set" in read_table(str(path)).column_names
    rows = read_result_rows(path)
    assert rows.schema == RESULT_SCHEMA and len(rows) == 4 * len(MODELS)
    assert set(rows["dataset"].to_pylist()) == {"made faces"}


def test_errors_are_those_of_the_stored_summary(version_0_1: Path) -> None:
    folder = version_0_1 / "round/evaluation"
    results = Results(read_result_rows(folder / "results.parquet"), ["made faces"], MODELS)
    (row,) = tabulate_bands(results.errors(), [(0, 90)])
    stored = json.loads((folder / "summary.json").read_text("utf-8"))["rows"]
    of_all = [
        entry["mean"]
        for entry in stored
        if (entry["align"], entry["band"], entry["side"]) == ("icp", "all", "both")
    ]
    assert [cell.mean for cell in row.cells] == pytest.approx(of_all, rel=1e-12)


def test_a_finished_folder_is_resumed(version_0_1: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(version_0_1)
    measurements = measure_again(version_0_1)
    stored = read_result_rows(version_0_1 / "round/evaluation/results.parquet")
    assert measurements.results.rows.equals(stored)
    config = MeasureConfig(datasets={"made faces": {"kind": "synthetic", "data": "test-photos"}})
    rows = summarize(measurements, config, dict.fromkeys(MODELS, ""), {})["rows"]
    former = json.loads((version_0_1 / "round/evaluation/summary.json").read_text("utf-8"))["rows"]
    assert len(rows) == len(former)
    for row, other in zip(rows, former, strict=True):
        other["dataset"] = other.pop("set")
        assert row.keys() == other.keys()
        for key, value in row.items():
            exact = isinstance(value, str)
            assert value == (other[key] if exact else pytest.approx(other[key], rel=1e-12)), key


def test_another_protocol_is_refused(version_0_1: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(version_0_1)
    with pytest.raises(RequestError, match="begun with another protocol"):
        measure_again(version_0_1, {"icp_points": 100})
