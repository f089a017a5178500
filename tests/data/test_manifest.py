import datetime
import json

import pytest

from rayboot.data.manifest import Manifest, read_manifest, require_finished, write_manifest
from rayboot.data.schema import SCHEMA_VERSION
from rayboot.errors import RequestError, UnfinishedDataError

MANIFEST = Manifest(
    config={"views": {"count": 2}, "name": "größe"},
    config_digest="c" * 64,
    model_digest="d" * 64,
    code_version="0.1.0",
    counts={"faces": 3, "reject/read/truncated": 1},
)


def test_the_manifest_of_a_finished_data_set_is_read_back(tmp_path):
    uri = str(tmp_path / "set")
    written = write_manifest(uri, MANIFEST)
    assert read_manifest(uri) == require_finished(uri) == written
    assert written.replace(finished_at="") == MANIFEST
    assert written.schema_version == SCHEMA_VERSION
    age = datetime.datetime.now(datetime.UTC) - datetime.datetime.fromisoformat(written.finished_at)
    assert abs(age) < datetime.timedelta(minutes=1)


def test_the_manifest_is_plain_json(tmp_path):
    write_manifest(str(tmp_path), MANIFEST)
    values = json.loads((tmp_path / "manifest.json").read_text("utf-8"))
    assert values["counts"] == MANIFEST.counts
    assert values["config"] == MANIFEST.config


@pytest.mark.parametrize("begun", [False, True])
def test_a_data_set_without_a_manifest_is_unfinished(tmp_path, begun):
    if begun:
        (tmp_path / "outcome=face").mkdir()
        (tmp_path / "outcome=face" / "part.parquet").write_bytes(b"PAR1")
    uri = str(tmp_path)
    assert read_manifest(uri) is None
    with pytest.raises(UnfinishedDataError, match=r"no manifest\.json.*generate` again"):
        require_finished(uri)


def test_a_data_set_of_a_later_schema_is_refused(tmp_path):
    values = {**MANIFEST.model_dump(), "schema_version": SCHEMA_VERSION + 1, "new_key": 1}
    (tmp_path / "manifest.json").write_text(json.dumps(values))
    with pytest.raises(RequestError, match=f"schema version {SCHEMA_VERSION + 1}.*update"):
        read_manifest(str(tmp_path))


@pytest.mark.parametrize("text", ["", "{", "[]", '"a"', '{"name": "a web page", "icons": []}'])
def test_a_manifest_of_something_else_is_refused(tmp_path, text):
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(RequestError, match=r"manifest\.json"):
        require_finished(str(tmp_path))
