import os
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from rayboot.data.fetch import PhotoFetcher
from rayboot.data.readers import list_photos
from rayboot.errors import RequestError
from rayboot.pipeline import output_change
from rayboot.pipeline.in_process_executor import InProcessExecutor
from rayboot.pipeline.listing import mark_duplicates
from rayboot.pipeline.pack import PackPlan, pack, prepare_pack
from tests.pipeline.photos import mixed_folder


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory, synthetic_set: str) -> Path:
    return mixed_folder(tmp_path_factory.mktemp("pack") / "photos", synthetic_set)


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory, photos: Path, ray_local: object) -> Path:
    output = tmp_path_factory.mktemp("pack") / "packed"
    plan = prepare_pack(str(photos), str(output))
    assert pack(plan, num_readers=1) == plan.num_photos
    return output


def test_a_packed_set_holds_the_same_photos(photos: Path, packed: Path) -> None:
    loose, shards = (list_photos(str(folder)) for folder in (photos, packed))
    for column in ("face_id", "group_id", "is_frame", "is_test"):
        assert shards[column].to_pylist() == loose[column].to_pylist()
    fetcher = PhotoFetcher()
    assert fetcher.fetch(shards.to_pylist()) == fetcher.fetch(loose.to_pylist())
    assert len(list(packed.glob("*.parquet"))) == 1


def test_duplicates_are_known_without_reading(photos: Path, packed: Path) -> None:
    loose, shards = (list_photos(str(folder)) for folder in (photos, packed))
    assert shards["tag"].null_count == 0
    marked = mark_duplicates(shards)["duplicate_of"].to_pylist()
    assert marked == mark_duplicates(loose)["duplicate_of"].to_pylist()
    assert sum(name is not None for name in marked) == 1


def test_packing_again_changes_nothing(photos: Path, packed: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in packed.glob("*.parquet")}
    pack(prepare_pack(str(photos), str(packed)), num_readers=1)
    assert before == {path: path.stat().st_mtime_ns for path in packed.glob("*.parquet")}


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    with pytest.raises(RequestError, match="no photo"):
        prepare_pack(str(tmp_path / "in"), str(tmp_path / "out"))


def test_a_run_without_ray_packs_the_same(photos: Path, packed: Path, tmp_path: Path) -> None:
    plan = prepare_pack(str(photos), str(tmp_path / "packed"))
    assert pack(plan, executor=InProcessExecutor()) == plan.num_photos
    ours, rays = (list_photos(str(folder)) for folder in (tmp_path / "packed", packed))
    for column in ("face_id", "tag", "group_id"):
        assert ours[column].to_pylist() == rays[column].to_pylist()


def test_an_interrupted_run_is_resumed(photos: Path, tmp_path: Path) -> None:
    """Half a file is removed and written again, whichever executor had begun it."""
    output = tmp_path / "packed"
    plan = prepare_pack(str(photos), str(output))
    pack(plan, executor=InProcessExecutor())
    (output / "photos.index").unlink()
    (note,) = (output / "_run/checkpoint").glob("*.parquet")
    note.rename(note.with_name(f"{note.stem}.pending.parquet"))
    (part,) = output.glob("*.parquet")
    part.write_bytes(part.read_bytes()[:100])
    assert pack(plan, executor=InProcessExecutor()) == plan.num_photos
    assert not part.exists()
    assert len(list_photos(str(output))) == plan.num_photos


def test_another_input_never_mixes_in(photos: Path, packed: Path, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="another input"):
        prepare_pack(str(tmp_path), str(packed))


def test_a_photo_that_cannot_be_packed_keeps_its_reason(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(b"1")
    os.mkfifo(folder / "b.jpg")
    (folder / "c.jpg").write_bytes(b"3")
    plan = prepare_pack(str(folder), str(tmp_path / "packed"))
    (folder / "c.jpg").unlink()
    pack(plan, executor=InProcessExecutor())
    a, b, c = PhotoFetcher().fetch(list_photos(str(tmp_path / "packed")).to_pylist())
    assert a.photo == b"1"
    assert (b.stage, b.reason) == ("read", "no-file")
    assert (c.stage, c.reason) == ("read", "missing")
    assert "c.jpg was listed" in c.message


def add(folder: Path, **photos: bytes) -> None:
    folder.mkdir(exist_ok=True)
    for name, payload in photos.items():
        (folder / f"{name}.jpg").write_bytes(payload)


def run(photos: Path, output: Path, prune: bool = False) -> PackPlan:
    plan = prepare_pack(str(photos), str(output), prune=prune)
    assert pack(plan, executor=InProcessExecutor()) == plan.num_photos
    return plan


def packed_photos(output: Path) -> dict[str, bytes]:
    rows = list_photos(str(output)).to_pylist()
    photos = PhotoFetcher().fetch(rows)
    # No file has a row that the index does not name.
    files = [pq.ParquetFile(path) for path in output.glob("*.parquet")]
    assert sum(file.metadata.num_rows for file in files) == len(rows)
    return {row["face_id"]: photo.photo for row, photo in zip(rows, photos, strict=True)}


def content(folder: Path) -> dict[str, tuple[int, bytes]]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes())
        for path in files
    }


def test_photos_that_were_added_come_in_further_files(tmp_path: Path) -> None:
    photos, output = tmp_path / "photos", tmp_path / "packed"
    add(photos, b=b"2", c=b"3")
    run(photos, output)
    before = content(output)
    run(photos, output)
    assert content(output) == before
    add(photos, a=b"1", copy=b"3")
    plan = run(photos, output)
    assert (plan.num_photos, plan.changes.num_new) == (4, 2)
    assert packed_photos(output) == {
        "a.jpg": b"1", "b.jpg": b"2", "c.jpg": b"3", "copy.jpg": b"3"
    }  # fmt: skip
    after = content(output)
    shards = {name for name in before if "/" not in name and name.endswith(".parquet")}
    assert {name: before[name] for name in shards} == {name: after[name] for name in shards}
    # Both indices are kept, and each names photos that are still there.
    assert after["manifests/000001.index"][1] == before["photos.index"][1]
    assert after["manifests/000002.index"][1] == after["photos.index"][1]


def test_a_removed_photo_stays_until_it_is_pruned(tmp_path: Path) -> None:
    photos, output = tmp_path / "photos", tmp_path / "packed"
    add(photos, **{f"p{number:03}": bytes([number]) for number in range(100)})
    run(photos, output)
    before = content(output)
    (photos / "p001.jpg").unlink()
    plan = run(photos, output)
    assert (plan.changes.num_gone, plan.changes.gone_examples) == (1, ("p001.jpg",))
    assert content(output) == before
    add(photos, p002=b"another")
    run(photos, output, prune=True)
    found = packed_photos(output)
    assert len(found) == 99 and "p001.jpg" not in found
    assert found["p002.jpg"] == b"another"
    assert found["p003.jpg"] == bytes([3])
    # What stays is still read in small pieces.
    (rest,) = output.glob("rest-*.parquet")
    assert pq.ParquetFile(rest).metadata.row_group(0).num_rows == 64


def test_an_interrupted_change_is_completed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos, output = tmp_path / "photos", tmp_path / "packed"
    add(photos, a=b"1", b=b"2")
    run(photos, output)
    (photos / "a.jpg").unlink()
    with monkeypatch.context() as patch:
        patch.setattr(output_change, "_remove_rows", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            prepare_pack(str(photos), str(output), prune=True)
    run(photos, output)
    assert packed_photos(output) == {"b.jpg": b"2"}


def test_a_set_of_version_01_grows_too(tmp_path: Path) -> None:
    photos, output = tmp_path / "photos", tmp_path / "packed"
    add(photos, a=b"1")
    run(photos, output)
    shutil.rmtree(output / "manifests")
    (output / "_run/fingerprint.json").unlink()
    before = content(output)
    add(photos, b=b"2")
    other = tmp_path / "other"
    add(other, x=b"3")
    with pytest.raises(RequestError, match="another input"):
        prepare_pack(str(other), str(output))
    run(photos, output)
    assert packed_photos(output) == {"a.jpg": b"1", "b.jpg": b"2"}
    assert content(output)["manifests/000001.index"][1] == before["photos.index"][1]
