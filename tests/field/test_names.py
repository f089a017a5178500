"""File names as users have them: every photo keeps a row, and every mesh a file of its own."""

import os
import shutil
import tarfile
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from rayboot.cli import main
from rayboot.data.fetch import FetchedPhoto, PhotoFetcher
from rayboot.data.readers import list_photos
from rayboot.pipeline.export_meshes import export_meshes
from rayboot.pipeline.export_request import ReconstructConfig, prepare_export
from rayboot.pipeline.in_process_executor import InProcessExecutor
from rayboot.pipeline.pack import pack, prepare_pack
from tests.data.readers.layouts import fetch_photos
from tests.s3 import S3Server

LATIN_1 = b"Mu\xf1oz"
SHIFT_JIS = b"\x8e\xcc\x90^"
STEMS = [
    LATIN_1,
    SHIFT_JIS,
    rb"Mu\xF1oz",
    ("\u4eba" * 80).encode(),
    b"n" * 251,
    b"a_.b",
    b"a_b",
    b"A_B",
    b"a::b",
    b"zip::c",
    b"new\nline",
]


@pytest.fixture
def folder(tmp_path: Path, synthetic_set: str) -> Path:
    """Photos with names of every kind, each with its landmarks."""
    folder = tmp_path / "photos"
    folder.mkdir()
    photos = list_photos(synthetic_set).to_pylist()
    for stem, photo in zip(STEMS, photos, strict=False):
        shutil.copy(photo["source_uri"], folder / os.fsdecode(stem + b".jpg"))
        shutil.copy(photo["landmarks_uri"], folder / os.fsdecode(stem + b".t7"))
    return folder


def test_every_photo_becomes_a_mesh_of_its_own(folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "meshes"
    config = ReconstructConfig(kinds=("glb",))
    plan = prepare_export("builtin:compact", str(folder), str(output), config)
    summary = export_meshes(plan, InProcessExecutor())
    assert (summary.num_meshes, summary.rejects) == (len(STEMS), {})
    rows = pq.read_table(output / "index.parquet").to_pylist()
    names = [row["glb"] for row in rows]
    assert len({name.casefold() for name in names}) == len(STEMS)
    assert {str(path.relative_to(output)) for path in output.glob("*.glb")} == set(names)
    by_id = {row["face_id"]: row["glb"] for row in rows}
    assert by_id["a::b.jpg"] == "a::b.glb"
    assert by_id[r"Mu\xF1oz.jpg"].startswith("Mu_xF1oz")
    assert by_id[r"Mu\x5CxF1oz.jpg"] == "Mu_x5CxF1oz.glb"
    assert max(len(name.encode()) for name in names) <= 184


def test_names_are_the_same_in_every_layout(folder: Path, tmp_path: Path) -> None:
    loose = fetch_photos(str(folder))
    # One folder more, whose name is no UTF-8 either.
    deep = tmp_path / "deep" / os.fsdecode(LATIN_1)
    deep.parent.mkdir()
    shutil.copytree(folder, deep)
    assert {name.removeprefix(r"Mu\xF1oz/") for name in fetch_photos(str(deep.parent))} == {*loose}
    assert fetch_photos(str(deep)) == loose
    with tarfile.open(tmp_path / "photos.tar", "w") as archive:
        archive.add(folder, arcname="")
    archived = fetch_photos(str(tmp_path / "photos.tar"))
    assert {name.removeprefix("photos/"): photo for name, photo in archived.items()} == loose
    plan = prepare_pack(str(folder), str(tmp_path / "packed"))
    assert pack(plan, executor=InProcessExecutor()) == len(STEMS)
    assert {*fetch_photos(str(tmp_path / "packed"))} == {*loose}


def test_a_folder_without_utf8_is_an_input_and_not_an_output(folder: Path, tmp_path: Path) -> None:
    strange = str(tmp_path / os.fsdecode(LATIN_1))
    folder.rename(strange)
    output = tmp_path / "out"
    arguments = ["reconstruct", "--model", "builtin:compact", "--input", strange, "--output"]
    plan = prepare_export("builtin:compact", strange, str(output))
    assert plan.num_photos == len(STEMS)
    refused = CliRunner().invoke(main, [*arguments, f"{strange}2/out"])
    assert refused.exit_code == 2
    assert r"Mu\xF1oz2/out" in refused.stderr and "UTF-8" in refused.stderr


@pytest.mark.s3
def test_colons_in_a_key_are_no_chain(
    folder: Path, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    filesystem = s3_server.filesystem()
    filesystem.mkdir("colons")
    filesystem.put(str(folder / "a::b.jpg"), "colons/a::b.jpg")
    rows = list_photos("s3://colons").to_pylist()
    (photo,) = PhotoFetcher().fetch(rows)
    assert isinstance(photo, FetchedPhoto)
    assert photo.photo == (folder / "a::b.jpg").read_bytes()
