import pickle
from typing import Any

import pytest
import yaml
from pydantic import TypeAdapter

from rayboot.evaluate.datasets import AnyDataset
from rayboot.evaluate.datasets.base import EvalDataset

EXAMPLES = """
synthetic: {kind: synthetic, data: a}
pairs: {kind: pairs, data: a}
aflw2000: {kind: aflw2000, data: a, annotation: reannotated, reannotation: b, implausible: wrap}
aflw2000_dense: {kind: aflw2000_dense, data: a, shape_model: m, region: {kind: file, file: f.mat}}
florence: {kind: florence, data: a, landmarks: b, videos: [cooperative, indoor], frames: c}
table: {kind: table, data: a.parquet, region: {kind: radius, radius: 1}}
"""


@pytest.mark.parametrize(("kind", "fields"), yaml.safe_load(EXAMPLES).items())
def test_kind_selects_the_dataset(kind: str, fields: dict[str, Any]) -> None:
    adapter: TypeAdapter[Any] = TypeAdapter(AnyDataset)
    dataset = adapter.validate_python(fields)
    assert isinstance(dataset, EvalDataset) and dataset.model_dump()["kind"] == kind
    # It is sent to actors, and stored in stamps and reports.
    assert pickle.loads(pickle.dumps(dataset)) == dataset
    assert adapter.validate_python(dataset.model_dump(mode="json")) == dataset
    assert all(isinstance(fact, str) and fact for fact in dataset.describe().values())
