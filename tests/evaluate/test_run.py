import json
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from rayboot.errors import RequestError
from rayboot.evaluate.datasets.synthetic import SyntheticDataset
from rayboot.evaluate.evaluation_config import EvaluateConfig
from rayboot.evaluate.metrics.bands import tabulate_bands
from rayboot.evaluate.run import EvaluationResult, evaluate, prepare_evaluation

MODELS = {"one": "builtin:compact", "same": "builtin:compact"}


def request(synthetic_set: str, output: Path) -> EvaluateConfig:
    return EvaluateConfig(
        datasets={"synthetic": SyntheticDataset(data=synthetic_set)},
        models=MODELS,
        output=str(output),
        bands=((0, 90),),
        num_actors=1,
    )


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("evaluation")


@pytest.fixture(scope="module")
def result(ray_local: object, synthetic_set: str, output: Path) -> EvaluationResult:
    return evaluate(prepare_evaluation(request(synthetic_set, output)))


def test_a_model_against_itself_has_no_change(
    result: EvaluationResult, synthetic_set: str, output: Path
) -> None:
    names = SyntheticDataset(data=synthetic_set).list_faces().rows["face_id"].to_pylist()
    errors = result.evaluation.results.errors()
    for of_model in errors.values():
        assert [error.face_id for error in of_model] == names
    (row,) = tabulate_bands(errors, ((0, 90),))
    assert row.num_faces == len(names)
    assert row.change[:3] == (0, 0, 0)
    stored = pq.read_table(output / "results.parquet")
    assert stored["model"].value_counts().to_pylist() == [
        {"values": name, "counts": len(names)} for name in MODELS
    ]


def test_the_summary_gives_the_numbers_of_faces(result: EvaluationResult, output: Path) -> None:
    summary = json.loads((output / "summary.json").read_text("utf-8"))
    assert summary == result.evaluation.summary
    assert summary["protocol"]["version"] == 1
    assert summary["datasets"]["synthetic"]["faces"] == 24
    assert summary["datasets"]["synthetic"]["measured"] == {"one": 24, "same": 24}
    assert "dense mesh" in summary["datasets"]["synthetic"]["truth"]
    for row in summary["rows"]:
        assert row["low"] <= row["mean"] <= row["high"]
        assert row["change_mean"] == 0
    sides = {row["side"]: row["faces"] for row in summary["rows"] if row["band"] == "0 to 90"}
    assert sides["left"] + sides["right"] == sides["both"] == 24
    names = {row["align"] for row in summary["rows"]}
    assert names == {"icp", "correspondence", "none", "nose", "normals"}


def test_the_same_call_again_measures_missing_rows_only(
    result: EvaluationResult, synthetic_set: str, output: Path
) -> None:
    (part,) = output.glob("rows/synthetic/*.parquet")
    rows = pq.read_table(part)
    kept = rows["face_id"].unique()[:10]
    pq.write_table(rows.filter(pc.is_in(rows["face_id"], kept)), part)
    before = part.stat().st_mtime_ns
    again = evaluate(prepare_evaluation(request(synthetic_set, output)))
    rows, rows_again = (done.evaluation.results.rows.to_pylist() for done in (result, again))
    # As text, because NaN does not equal itself.
    assert str(rows_again) == str(rows)
    assert part.stat().st_mtime_ns == before
    added = next(path for path in output.glob("rows/synthetic/*.parquet") if path != part)
    assert pq.read_metadata(added).num_rows == len(MODELS) * 14


def test_rows_of_another_protocol_are_refused(
    result: EvaluationResult, synthetic_set: str, output: Path
) -> None:
    config = request(synthetic_set, output).replace(protocol={"icp_points": 100})
    with pytest.raises(RequestError, match="begun with another protocol"):
        evaluate(prepare_evaluation(config))


@pytest.mark.parametrize("missing", ["models", "output"])
def test_models_and_output_are_required(synthetic_set: str, tmp_path: Path, missing: str) -> None:
    empty = {"models": {}, "output": None}[missing]
    with pytest.raises(RequestError, match="needs `models`"):
        prepare_evaluation(request(synthetic_set, tmp_path).replace(**{missing: empty}))


def test_a_missing_model_is_refused(synthetic_set: str, tmp_path: Path) -> None:
    config = request(synthetic_set, tmp_path).replace(models={"a": "no/file"})
    with pytest.raises(RequestError, match="no such file"):
        prepare_evaluation(config)


def test_a_missing_dataset_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="synthesize"):
        prepare_evaluation(request(str(tmp_path / "nothing"), tmp_path))


def test_names_that_leave_the_folder_are_refused(synthetic_set: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="without slashes"):
        request(synthetic_set, tmp_path).replace(models={"../a": "builtin:compact"})
