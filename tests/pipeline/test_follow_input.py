"""Runs on an input that has grown, shrunk or changed since the last one."""

import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rayboot.data.manifest import list_manifests, manifest_files, require_finished
from rayboot.data.pair_index import index_faces
from rayboot.data.readers import list_photos
from rayboot.errors import RequestError
from rayboot.pipeline import output_change
from rayboot.pipeline.export_meshes import export_meshes
from rayboot.pipeline.export_request import ExportPlan, prepare_export
from rayboot.pipeline.generate import generate
from rayboot.pipeline.generate_config import GenerateConfig, PoolConfig, SelectionConfig
from rayboot.pipeline.generate_request import GeneratePlan, prepare_generate
from rayboot.pipeline.in_process_executor import InProcessExecutor
from rayboot.registry.model_names import BUILTIN_COMPACT
from tests.s3 import S3Server

pytestmark = pytest.mark.egl


class Photos:
    """A folder of photos with landmarks that grows."""

    def __init__(self, folder: Path, synthetic_set: str) -> None:
        self.folder = folder
        folder.mkdir()
        self._source = list_photos(synthetic_set).to_pylist()

    def add(self, name: str, number: int) -> None:
        """Adds photo ``number`` of the synthetic set under a name."""
        row = self._source[number]
        stem = self.folder / name
        shutil.copy(row["source_uri"], stem.with_suffix(".jpg"))
        landmarks = Path(row["landmarks_uri"])
        shutil.copy(landmarks, stem.with_suffix(landmarks.suffix))

    def remove(self, name: str) -> None:
        """Removes a photo and its landmarks."""
        for path in self.folder.glob(f"{name}.*"):
            path.unlink()


@pytest.fixture(scope="module")
def frontal(synthetic_set: str, tmp_path_factory: pytest.TempPathFactory) -> list[int]:
    """Numbers of photos of the synthetic set that become faces."""
    folder = tmp_path_factory.mktemp("frontal")
    photos = Photos(folder / "photos", synthetic_set)
    for number in range(8):
        photos.add(f"{number}", number)
    run(request(photos, folder / "pairs"))
    rows = outcomes(folder / "pairs")
    numbers = [number for number in range(8) if rows[f"{number}.jpg"] == "face"]
    assert len(numbers) >= 4
    return numbers


@pytest.fixture
def photos(tmp_path: Path, synthetic_set: str, frontal: list[int]) -> Photos:
    """Photos a and b, which become faces."""
    made = Photos(tmp_path / "photos", synthetic_set)
    made.add("a", frontal[0])
    made.add("b", frontal[1])
    return made


def request(photos: Photos, output: Path) -> GenerateConfig:
    return GenerateConfig(
        input=str(photos.folder),
        output=str(output),
        selection=SelectionConfig(detect_faces=False),
        views={"preset": "small"},
        pools=PoolConfig(batch_size=4, num_readers=1),
    )


def run(config: GenerateConfig, prune: bool = False) -> GeneratePlan:
    plan = prepare_generate(config, prune=prune)
    generate(plan, InProcessExecutor())
    return plan


def outcomes(output: Path) -> dict[str, str]:
    """Outcome, or reason of the reject, of each photo that the current manifest describes."""
    manifest = require_finished(str(output))
    found: dict[str, str] = {}
    for outcome in ("face", "reject"):
        for name in manifest_files(str(output), manifest, outcome):
            for row in pq.ParquetFile(output / name).read().to_pylist():
                assert row["face_id"] not in found
                found[row["face_id"]] = row.get("reason") or "face"
    # Programs that know no manifest read every file.
    files = list(output.glob("outcome=*/*.parquet"))
    assert sum(pq.ParquetFile(file).metadata.num_rows for file in files) == len(found)
    assert len(found) == manifest.counts["faces"] + manifest.counts["rejects"]
    return found


def content(folder: Path) -> dict[Path, tuple[int, bytes]]:
    return {
        path: (path.stat().st_mtime_ns, path.read_bytes())
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_photos_that_were_added_are_processed(
    photos: Photos, tmp_path: Path, frontal: list[int]
) -> None:
    output = tmp_path / "pairs"
    run(request(photos, output))
    first = require_finished(str(output))
    before = content(output / "outcome=face")
    photos.add("c", frontal[2])
    photos.add("copy-of-a", frontal[0])
    plan = run(request(photos, output))
    assert (plan.changes.num_new, plan.changes.num_gone, plan.num_photos) == (2, 0, 4)
    faces = {"a.jpg": "face", "b.jpg": "face", "c.jpg": "face", "copy-of-a.jpg": "duplicate"}
    assert outcomes(output) == faces
    # What was there is as it was, and still what the first manifest describes.
    assert before.items() <= content(output / "outcome=face").items()
    second = require_finished(str(output))
    assert (first.number, second.number) == (1, 2)
    assert list_manifests(str(output)) == [first, second]
    splits = ("train", "val")
    pinned = [index_faces(str(output), split, first.digest()) for split in splits]
    assert sorted(pa.concat_tables(pinned)["face_id"].to_pylist()) == ["a.jpg", "b.jpg"]


def test_an_input_that_has_not_grown_leaves_everything_as_it_is(
    photos: Photos, tmp_path: Path
) -> None:
    output = tmp_path / "pairs"
    run(request(photos, output))
    before = content(output)
    plan = run(request(photos, output))
    assert plan.changes.num_new == 0
    assert content(output) == before
    # A removed photo is reported, and nothing else happens.
    photos.remove("b")
    assert run(request(photos, output)).changes.gone_examples == ("b.jpg",)
    assert content(output) == before


def test_nothing_is_added_without_the_record_of_photos(
    photos: Photos, tmp_path: Path, frontal: list[int]
) -> None:
    output = tmp_path / "pairs"
    run(request(photos, output))
    before = outcomes(output)
    shutil.rmtree(output / "_run")
    run(request(photos, output))
    assert outcomes(output) == before
    shutil.rmtree(output / "_run")
    photos.add("c", frontal[2])
    with pytest.raises(RequestError, match=r"the 2 photos .* got 3; its record .* was removed"):
        run(request(photos, output))
    assert outcomes(output) == before
    assert not (output / "_run/listing.parquet").exists()


def test_prune_takes_rows_out(photos: Photos, tmp_path: Path) -> None:
    output = tmp_path / "pairs"
    run(request(photos, output))
    first = require_finished(str(output))
    photos.remove("b")
    run(request(photos, output), prune=True)
    assert outcomes(output) == {"a.jpg": "face"}
    assert require_finished(str(output)).number == 2
    # The image is gone from the disk; that it was there stays told.
    with pytest.raises(RequestError, match=r"faces of manifest 1 .* taken out"):
        index_faces(str(output), "train", first.digest())
    (record,) = (output / "manifests").glob("removed-*.parquet")
    (row,) = pq.read_table(record).to_pylist()
    assert row["face_id"] == "b.jpg"
    assert row["file"] in manifest_files(str(output), first)
    before = content(output)
    run(request(photos, output), prune=True)
    assert content(output) == before


def test_a_duplicate_of_a_pruned_photo_takes_its_place(
    photos: Photos, tmp_path: Path, frontal: list[int]
) -> None:
    output = tmp_path / "pairs"
    for name in ("x", "y"):
        photos.add(name, frontal[0])
    run(request(photos, output))
    assert outcomes(output)["x.jpg"] == outcomes(output)["y.jpg"] == "duplicate"
    photos.remove("a")
    run(request(photos, output), prune=True)
    assert outcomes(output) == {"b.jpg": "face", "x.jpg": "face", "y.jpg": "duplicate"}


def test_a_photo_that_was_replaced_is_processed_again(
    photos: Photos, tmp_path: Path, frontal: list[int]
) -> None:
    output = tmp_path / "pairs"
    run(request(photos, output))
    (old,) = [row for row in read_rows(output) if row["face_id"] == "b.jpg"]
    photos.add("b", frontal[2])
    plan = run(request(photos, output))
    assert (plan.changes.num_new, plan.changes.num_changed) == (0, 1)
    assert outcomes(output) == {"a.jpg": "face", "b.jpg": "face"}
    (new,) = [row for row in read_rows(output) if row["face_id"] == "b.jpg"]
    assert new["content_hash"] != old["content_hash"]


def read_rows(output: Path) -> list[dict]:
    return [
        row
        for path in output.glob("outcome=face/*.parquet")
        for row in pq.ParquetFile(path).read(["face_id", "content_hash"]).to_pylist()
    ]


@pytest.mark.parametrize("num_steps", range(9))
def test_a_change_that_is_cut_off_anywhere_is_completed(
    photos: Photos,
    tmp_path: Path,
    frontal: list[int],
    monkeypatch: pytest.MonkeyPatch,
    num_steps: int,
) -> None:
    output = tmp_path / "pairs"
    run(request(photos, output))
    photos.remove("b")
    photos.add("c", frontal[2])
    done = 0

    def step(real):
        def counted(*args, **options):
            nonlocal done
            if done == num_steps:
                raise KeyboardInterrupt
            done += 1
            return real(*args, **options)

        return counted

    with monkeypatch.context() as patch:
        for name in ("write_bytes", "write_table", "remove"):
            patch.setattr(output_change, name, step(getattr(output_change, name)))
        with pytest.raises(KeyboardInterrupt):
            prepare_generate(request(photos, output), prune=True)
    # The next command, with or without the flag, goes on.
    run(request(photos, output), prune=num_steps == 0)
    assert outcomes(output) == {"a.jpg": "face", "c.jpg": "face"}
    (record,) = (output / "manifests").glob("removed-*.parquet")
    assert pq.read_table(record)["face_id"].to_pylist() == ["b.jpg"]


def export(photos: Photos, output: Path, prune: bool = False) -> ExportPlan:
    plan = prepare_export(BUILTIN_COMPACT, str(photos.folder), str(output), prune=prune)
    export_meshes(plan, InProcessExecutor())
    return plan


def test_meshes_follow_the_input(photos: Photos, tmp_path: Path, frontal: list[int]) -> None:
    output = tmp_path / "meshes"
    export(photos, output)
    before = content(output)
    assert export(photos, output).num_to_do == 0
    assert content(output) == before
    (photos.folder / "b.jpg").rename(photos.folder / "b-old.jpg")
    photos.add("b", frontal[2])
    photos.add("A", frontal[3])
    plan = export(photos, output)
    assert (plan.changes.num_new, plan.changes.num_changed) == (2, 1)
    # b-old has no landmarks here, and whatever becomes of it has a row.
    index = pq.read_table(output / "index.parquet")
    assert index["face_id"].to_pylist() == ["A.jpg", "a.jpg", "b-old.jpg", "b.jpg"]
    names = dict(zip(index["face_id"].to_pylist(), index["ply"].to_pylist(), strict=True))
    assert names["a.jpg"] == "a.ply"
    assert names["A.jpg"] == "A_jpg.ply"  # differs from a.ply on file systems that ignore case
    assert names["b.jpg"] == "b.ply"
    old = before[output / "b.ply"]
    assert (output / "b.ply").read_bytes() != old[1]
    photos.remove("a")
    export(photos, output, prune=True)
    assert not (output / "a.ply").exists()
    assert not (output / "a.glb").exists()
    index = pq.read_table(output / "index.parquet")
    assert index["face_id"].to_pylist() == ["A.jpg", "b-old.jpg", "b.jpg"]


def test_buckets_follow_their_input(
    photos: Photos,
    s3_server: S3Server,
    frontal: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A store has tags, by which a photo of the same size is known to be another one."""
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    filesystem = s3_server.filesystem()
    filesystem.mkdir("growing")
    filesystem.put(f"{photos.folder}/", "growing/photos/", recursive=True)
    local = request(photos, Path("unused"))
    output = "s3://growing/pairs"
    config = local.replace(input="s3://growing/photos", output=output)
    run(config)
    before = filesystem.find("growing/pairs", detail=True)
    run(config)
    assert tags(filesystem.find("growing/pairs", detail=True)) == tags(before)
    # One byte of the file's end differs, which decoders ignore.
    payload = filesystem.cat_file("growing/photos/a.jpg")
    filesystem.pipe_file("growing/photos/a.jpg", payload + b"1")
    run(config)
    filesystem.pipe_file("growing/photos/a.jpg", payload + b"2")
    filesystem.pipe_file("growing/photos/b.jpg", filesystem.cat_file("growing/photos/a.jpg"))
    plan = run(config)
    assert (plan.changes.num_new, plan.changes.num_changed) == (0, 2)
    filesystem.rm_file("growing/photos/b.jpg")
    run(config, prune=True)
    manifest = require_finished(output)
    assert (manifest.number, manifest.counts["faces"], manifest.counts["rejects"]) == (4, 1, 0)
    assert [row.number for row in list_manifests(output)] == [1, 2, 3, 4]


def tags(files: dict[str, dict]) -> dict[str, str]:
    return {name: info["ETag"] for name, info in files.items()}
