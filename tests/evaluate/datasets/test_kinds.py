import pickle

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
def test_a_config_chooses_a_kind(kind: str, fields: dict) -> None:
    adapter: TypeAdapter = TypeAdapter(AnyDataset)
    faces = adapter.validate_python(fields)
    assert isinstance(faces, EvalDataset) and faces.kind == kind  # type: ignore[attr-defined]
    # It is sent to actors, and stands in stamps and reports.
    assert pickle.loads(pickle.dumps(faces)) == faces
    assert adapter.validate_python(faces.model_dump(mode="json")) == faces
    assert all(isinstance(fact, str) and fact for fact in faces.describe().values())
