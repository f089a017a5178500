import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rayboot.data.manifest import Manifest, write_manifest
from rayboot.pipeline.output_change import OutputChange, make_change
from rayboot.registry.model_versions import ModelVersion
from rayboot.rounds import trace as trace_module
from rayboot.rounds.provenance import describe_version
from rayboot.rounds.trace import format_trace, trace_face


def write_data_set(folder: Path, outcome: str, rows: list[tuple[str, str]]) -> str:
    target = folder / f"outcome={outcome}"
    target.mkdir(parents=True)
    columns = {
        "face_id": [name for name, _ in rows],
        "content_hash": [content for _, content in rows],
        "source_uri": [f"s3://photos/{name}" for name, _ in rows],
    }
    pq.write_table(pa.table(columns), target / "a.parquet")
    return str(folder)


def make_version(number: int, **tags: str) -> ModelVersion:
    prefixed = {f"rayboot.{key}": value for key, value in tags.items()}
    return ModelVersion("faces", str(number), (), prefixed, "run")


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Two data sets: versions 1 and 4 were trained on the first, 2 on the second with teacher 1,
    3 on one that was deleted, with teacher 2."""
    data = {
        "first": write_data_set(tmp_path / "first", "face", [("a.jpg", "A"), ("b.jpg", "B")]),
        "second": write_data_set(tmp_path / "second", "face", [("c.jpg", "C")]),
        "third": str(tmp_path / "third"),
    }
    write_data_set(tmp_path / "second", "reject", [("a.jpg", "A"), ("copy.jpg", "B")])
    versions = [
        make_version(1, pairs=data["first"], teacher_digest="t", weights_digest="w1"),
        make_version(2, pairs=data["second"], teacher_digest="w1", weights_digest="w2"),
        make_version(3, pairs=data["third"], teacher_digest="w2", weights_digest="w3"),
        make_version(4, pairs=data["first"], teacher_digest="t", weights_digest="w4"),
        make_version(5, weights_digest="w5"),
    ]
    monkeypatch.setattr(trace_module, "list_versions", lambda uri: versions)
    return data


def test_data_sets_models_and_their_descendants_are_found(registry: dict[str, str]) -> None:
    trace = trace_face("", "a.jpg")
    assert [(use.data, use.outcome) for use in trace.uses] == [
        (registry["first"], "face"),
        (registry["second"], "reject"),
    ]
    assert [v.version for v in trace.trained] == ["1", "4"]
    assert [v.version for v in trace.descended] == ["2", "3"]
    assert trace.missing == [registry["third"]]
    text = format_trace("a.jpg", trace)
    assert "trained   models:/faces/1" in text
    assert "cannot be read" in text


def test_a_copy_of_the_photo_under_another_name_is_found(registry: dict[str, str]) -> None:
    trace = trace_face("", "b.jpg")
    assert [use.face_id for use in trace.uses] == ["b.jpg", "copy.jpg"]


def test_no_version_was_trained_on_a_reject(registry: dict[str, str]) -> None:
    trace = trace_face("", "c.jpg")
    assert [v.version for v in trace.trained] == ["2"]
    assert [v.version for v in trace.descended] == ["3"]


def test_an_unused_photo_is_reported(registry: dict[str, str]) -> None:
    trace = trace_face("", "nobody.jpg")
    assert not trace.uses and not trace.trained and not trace.descended
    assert "in none of the data sets" in format_trace("nobody.jpg", trace)


def test_further_data_sets_are_searched(registry: dict[str, str], tmp_path: Path) -> None:
    other = write_data_set(tmp_path / "other", "face", [("d.jpg", "D")])
    assert [use.data for use in trace_face("", "d.jpg", [other]).uses] == [other]


def test_the_provenance_of_a_version_is_described() -> None:
    text = describe_version(
        make_version(
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


def finish(folder: Path, files: list[str]) -> str:
    """Writes the next manifest of a data set; returns its digest."""
    manifest = Manifest(config={}, config_digest="", model_digest="", code_version="", counts={})
    return write_manifest(str(folder), manifest, files).digest()


def test_versions_pin_the_manifest_that_they_were_trained_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "grown"
    uri = write_data_set(folder, "face", [("a.jpg", "A"), ("b.jpg", "B")])
    first = finish(folder, ["outcome=face/a.parquet"])
    table = pq.ParquetFile(folder / "outcome=face/a.parquet").read()
    late = pa.table({**table.slice(0, 1).to_pydict(), "face_id": ["c.jpg"], "content_hash": ["C"]})
    pq.write_table(late, folder / "outcome=face/c.parquet")
    second = finish(folder, ["outcome=face/a.parquet", "outcome=face/c.parquet"])
    # b is taken out, and a is in a file of another name since.
    change = OutputChange(["b.jpg"], ["outcome=face"], ["manifest.json"], keeps_record=True)
    make_change(uri, change)
    files = ["outcome=face/rest-a.parquet", "outcome=face/c.parquet"]
    assert sorted(path.name for path in folder.glob("outcome=face/*")) == [
        "c.parquet", "rest-a.parquet",
    ]  # fmt: skip
    third = finish(folder, files)
    versions = [
        make_version(number, pairs=uri, manifest_digest=digest)
        for number, digest in enumerate((first, second, third, "of a manifest that is lost"), 1)
    ]
    monkeypatch.setattr(trace_module, "list_versions", lambda uri: versions)
    found = {
        name: [version.version for version in trace_face("", name).trained]
        for name in ("a.jpg", "b.jpg", "c.jpg")
    }
    # Of the last version it is not known what it was trained on.
    assert found == {
        "a.jpg": ["1", "2", "3", "4"],
        "b.jpg": ["1", "2", "4"],
        "c.jpg": ["2", "3", "4"],
    }
    text = format_trace("b.jpg", trace_face("", "b.jpg"))
    assert "face b.jpg in outcome=face/a.parquet, taken out since" in text


def test_files_that_an_interrupted_run_cut_off_are_not_searched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = write_data_set(tmp_path / "pairs", "face", [("a.jpg", "A")])
    (tmp_path / "pairs/outcome=face/cut-000000-0.parquet").write_bytes(b"PAR1 and nothing more")
    note = tmp_path / "pairs/_run/checkpoint/cut.pending.parquet"
    note.parent.mkdir(parents=True)
    note.touch()
    monkeypatch.setattr(trace_module, "list_versions", lambda uri: [])
    assert [use.file for use in trace_face("", "a.jpg", [uri]).uses] == ["outcome=face/a.parquet"]
