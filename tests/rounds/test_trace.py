import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rayboot.registry.model_versions import ModelVersion
from rayboot.rounds import trace as tracing
from rayboot.rounds.provenance import describe_version
from rayboot.rounds.trace import format_trace, trace_face


def write_set(folder: Path, outcome: str, rows: list[tuple[str, str]]) -> str:
    target = folder / f"outcome={outcome}"
    target.mkdir(parents=True)
    columns = {
        "face_id": [name for name, _ in rows],
        "content_hash": [content for _, content in rows],
        "source_uri": [f"s3://photos/{name}" for name, _ in rows],
    }
    pq.write_table(pa.table(columns), target / "a.parquet")
    return str(folder)


def version(number: int, **tags: str) -> ModelVersion:
    named = {f"rayboot.{key}": value for key, value in tags.items()}
    return ModelVersion("faces", str(number), (), named, "run")


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Two data sets; versions 1 and 4 learnt from the first, 2 from the second, taught by 1,
    3 from one that is gone, taught by 2."""
    data = {
        "first": write_set(tmp_path / "first", "face", [("a.jpg", "A"), ("b.jpg", "B")]),
        "second": write_set(tmp_path / "second", "face", [("c.jpg", "C")]),
        "third": str(tmp_path / "third"),
    }
    write_set(tmp_path / "second", "reject", [("a.jpg", "A"), ("copy.jpg", "B")])
    versions = [
        version(1, pairs=data["first"], teacher_digest="t", weights_digest="w1"),
        version(2, pairs=data["second"], teacher_digest="w1", weights_digest="w2"),
        version(3, pairs=data["third"], teacher_digest="w2", weights_digest="w3"),
        version(4, pairs=data["first"], teacher_digest="t", weights_digest="w4"),
        version(5, weights_digest="w5"),
    ]
    monkeypatch.setattr(tracing, "list_versions", lambda uri: versions)
    return data


def test_data_sets_models_and_their_pupils_are_found(registry: dict[str, str]) -> None:
    found = trace_face("", "a.jpg")
    assert [(use.data, use.outcome) for use in found.uses] == [
        (registry["first"], "face"),
        (registry["second"], "reject"),
    ]
    assert [v.version for v in found.trained] == ["1", "4"]
    assert [v.version for v in found.descended] == ["2", "3"]
    assert found.missing == [registry["third"]]
    text = format_trace("a.jpg", found)
    assert "trained   models:/faces/1" in text
    assert "cannot be read" in text


def test_the_same_picture_under_another_name_is_found(registry: dict[str, str]) -> None:
    found = trace_face("", "b.jpg")
    assert [use.face_id for use in found.uses] == ["b.jpg", "copy.jpg"]


def test_a_reject_taught_nobody(registry: dict[str, str]) -> None:
    found = trace_face("", "c.jpg")
    assert [v.version for v in found.trained] == ["2"]
    assert [v.version for v in found.descended] == ["3"]


def test_who_was_never_used(registry: dict[str, str]) -> None:
    found = trace_face("", "nobody.jpg")
    assert not found.uses and not found.trained and not found.descended
    assert "in none of the data sets" in format_trace("nobody.jpg", found)


def test_further_data_sets_are_searched(registry: dict[str, str], tmp_path: Path) -> None:
    other = write_set(tmp_path / "other", "face", [("d.jpg", "D")])
    assert [use.data for use in trace_face("", "d.jpg", [other]).uses] == [other]


def test_a_version_says_what_it_was_made_from() -> None:
    text = describe_version(
        version(
            2,
            teacher="models:/faces/1",
            pairs="s3://b/pairs",
            manifest_digest="m" * 64,
            counts=json.dumps({"faces": 10, "views_left_out": 2}),
            rejects=json.dumps({"reject/select/not-frontal": 4}),
        )
    )
    assert "teacher     models:/faces/1" in text
    assert "10 faces, 2 views left out" in text
    assert "rejected    4 select, not-frontal" in text
