"""An evaluation folder of version 0.1 is read, and resumed where its content agrees."""

import hashlib
import json
import tarfile
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

ARCHIVE = Path(__file__).parent / "v0.1/runs.tar.xz"
MODELS = ("original", "bootstrapped")


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """The unpacked evaluation of version 0.1, its dataset and its weights."""
    folders = ("v0.1/round/evaluation/", "v0.1/test-photos/")
    weights = ("v0.1/tiny.safetensors", "v0.1/round/candidate.safetensors")
    with tarfile.open(ARCHIVE) as archive:
        members = [m for m in archive if m.name.startswith(folders) or m.name in weights]
        archive.extractall(tmp_path, members, filter="data")
    return tmp_path / "v0.1"


def measure_again(runs: Path, protocol: dict[str, object] | None = None) -> Measurements:
    """Calls the measurement of the same models and dataset; it needs no Ray if all is finished."""
    weights = dict(
        zip(MODELS, (runs / "tiny.safetensors", runs / "round/candidate.safetensors"), strict=True)
    )
    digests = {
        name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in weights.items()
    }
    datasets = {"made faces": {"kind": "synthetic", "data": "test-photos"}}
    config = MeasureConfig(datasets=datasets, protocol=protocol or {})
    return measure_models(weights, config, runs / "round/evaluation/rows", digests)


@pytest.mark.parametrize("name", ["results.parquet", "rows/made faces/part-000000.parquet"])
def test_rows_are_read(runs: Path, name: str) -> None:
    path = runs / "round/evaluation" / name
    assert "set" in read_table(str(path)).column_names
    rows = read_result_rows(path)
    assert rows.schema == RESULT_SCHEMA and len(rows) == 4 * len(MODELS)
    assert set(rows["dataset"].to_pylist()) == {"made faces"}


def test_errors_are_those_of_the_stored_summary(runs: Path) -> None:
    folder = runs / "round/evaluation"
    results = Results(read_result_rows(folder / "results.parquet"), ["made faces"], MODELS)
    (row,) = tabulate_bands(results.errors(), [(0, 90)])
    stored = json.loads((folder / "summary.json").read_text("utf-8"))["rows"]
    of_all = [
        entry["mean"]
        for entry in stored
        if (entry["align"], entry["band"], entry["side"]) == ("icp", "all", "both")
    ]
    assert [cell.mean for cell in row.cells] == pytest.approx(of_all, rel=1e-12)


def test_a_finished_folder_is_resumed(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(runs)
    measurements = measure_again(runs)
    stored = read_result_rows(runs / "round/evaluation/results.parquet")
    assert measurements.results.rows.equals(stored)
    config = MeasureConfig(datasets={"made faces": {"kind": "synthetic", "data": "test-photos"}})
    rows = summarize(measurements, config, dict.fromkeys(MODELS, ""), {})["rows"]
    former = json.loads((runs / "round/evaluation/summary.json").read_text("utf-8"))["rows"]
    assert len(rows) == len(former)
    for row, other in zip(rows, former, strict=True):
        other["dataset"] = other.pop("set")
        assert row.keys() == other.keys()
        for key, value in row.items():
            exact = isinstance(value, str)
            assert value == (other[key] if exact else pytest.approx(other[key], rel=1e-12)), key


def test_another_protocol_is_refused(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(runs)
    with pytest.raises(RequestError, match="begun with another protocol"):
        measure_again(runs, {"icp_points": 100})
