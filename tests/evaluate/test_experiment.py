import csv
import json
from pathlib import Path

import pytest

from rayboot.errors import RequestError
from rayboot.evaluate.config import EvaluateConfig
from rayboot.evaluate.experiment import evaluate, prepare_evaluation
from rayboot.evaluate.faces import list_true_faces

MODELS = {"one": "builtin:compact", "same": "builtin:compact"}


def test_a_model_against_itself_changes_nothing(
    ray_local: object, synthetic_set: str, tmp_path: Path
) -> None:
    config = EvaluateConfig(
        data=synthetic_set, models=MODELS, output=str(tmp_path), bands=((0, 90),), num_actors=1
    )
    result = evaluate(prepare_evaluation(config))
    names = list_true_faces(config)["face_id"].to_pylist()
    for found in result.errors.values():
        assert [error.face_id for error in found] == names
    (row,) = result.rows
    assert row.num_faces == len(names)
    assert row.change[:3] == (0, 0, 0)
    stored = json.loads((tmp_path / "errors.json").read_text("utf-8"))
    assert [len(stored[name]) for name in MODELS] == [len(names)] * 2
    table = list(csv.DictReader((tmp_path / "table.csv").open(encoding="utf-8")))
    assert [(line["model"], int(line["faces"])) for line in table] == [
        (name, len(names)) for name in MODELS
    ]
    for line in table:
        assert float(line["low"]) <= float(line["nme_percent"]) <= float(line["high"])
    assert "as the network places it" in result.report.read_text("utf-8")


@pytest.mark.parametrize("missing", ["models", "output"])
def test_what_is_compared_and_where_it_goes_must_be_named(
    synthetic_set: str, tmp_path: Path, missing: str
) -> None:
    given = {"models": MODELS, "output": str(tmp_path)}
    del given[missing]
    with pytest.raises(RequestError, match="needs `models`"):
        prepare_evaluation(EvaluateConfig(data=synthetic_set, **given))


def test_a_model_that_is_not_there_is_refused(synthetic_set: str, tmp_path: Path) -> None:
    config = EvaluateConfig(data=synthetic_set, models={"a": "no/file"}, output=str(tmp_path))
    with pytest.raises(RequestError, match="no such file"):
        prepare_evaluation(config)
