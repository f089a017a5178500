import os
from pathlib import Path

import pytest

from rayboot.data.fetch import PhotoFetcher
from rayboot.data.readers import list_photos
from rayboot.errors import RequestError
from rayboot.pipeline.in_process_executor import InProcessExecutor
from rayboot.pipeline.listing import mark_duplicates
from rayboot.pipeline.pack import pack, prepare_pack
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
    with pytest.raises(RequestError, match="no photo"):
        prepare_pack(str(tmp_path), str(tmp_path / "out"))


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
