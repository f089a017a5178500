import datetime
import hashlib
import json

import pytest

from rayboot.data.manifest import (
    Manifest,
    list_manifests,
    manifest_files,
    number_manifest,
    read_manifest,
    remove_manifest,
    require_finished,
    write_manifest,
)
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
    unnumbered = {"finished_at": "", "number": None, "files": None, "files_digest": None}
    assert written.replace(**unnumbered) == MANIFEST
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


def add_files(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"PAR1")


def test_a_pinned_manifest_keeps_its_files(tmp_path):
    uri = str(tmp_path)
    add_files(tmp_path, "outcome=face/a.parquet", "outcome=reject/a.parquet")
    first = write_manifest(uri, MANIFEST)
    add_files(tmp_path, "outcome=face/b.parquet", "outcome=face/unfinished.parquet")
    named = ["outcome=face/a.parquet", "outcome=face/b.parquet", "outcome=reject/a.parquet"]
    second = write_manifest(uri, MANIFEST, named)
    assert (first.number, second.number) == (1, 2)
    assert require_finished(uri) == second
    assert require_finished(uri, first.digest()) == first
    assert manifest_files(uri, first) == ["outcome=face/a.parquet"]
    assert manifest_files(uri, second) == named[:2]
    assert manifest_files(uri, second, "reject") == ["outcome=reject/a.parquet"]
    assert list_manifests(uri) == [first, second]
    # While rows are changed, numbered manifests stay; the next number is not used twice.
    remove_manifest(uri)
    assert require_finished(uri, first.digest()) == first
    assert write_manifest(uri, MANIFEST).number == 3


def test_an_unknown_digest_is_refused(tmp_path):
    written = write_manifest(str(tmp_path), MANIFEST)
    with pytest.raises(RequestError, match=f"digest eeee.*got {written.digest()[:12]}"):
        require_finished(str(tmp_path), "e" * 64)


def test_another_table_of_files_is_refused(tmp_path):
    add_files(tmp_path, "outcome=face/a.parquet")
    first = write_manifest(str(tmp_path), MANIFEST)
    second = write_manifest(str(tmp_path), MANIFEST, ["outcome=face/other.parquet"])
    (tmp_path / first.files).write_bytes((tmp_path / second.files).read_bytes())
    with pytest.raises(RequestError, match="table of files that manifest 1"):
        manifest_files(str(tmp_path), first)


def test_a_manifest_of_version_0_1_keeps_its_digest_and_its_files(tmp_path):
    uri = str(tmp_path)
    values = {**MANIFEST.model_dump(), "schema_version": 2}
    for name in ("number", "files", "files_digest"):
        del values[name]
    canonical = json.dumps(values, sort_keys=True, separators=(",", ":"))
    (tmp_path / "manifest.json").write_text(json.dumps(values))
    add_files(tmp_path, "outcome=face/a.parquet")
    old = require_finished(uri)
    assert old.digest() == hashlib.sha256(canonical.encode()).hexdigest()
    assert manifest_files(uri, old) == ["outcome=face/a.parquet"]
    number_manifest(uri)
    add_files(tmp_path, "outcome=face/b.parquet")
    grown = write_manifest(uri, MANIFEST)
    assert grown.number == 1
    assert manifest_files(uri, grown) == ["outcome=face/a.parquet", "outcome=face/b.parquet"]
    assert require_finished(uri, old.digest()) == old
    assert manifest_files(uri, old) == ["outcome=face/a.parquet"]
