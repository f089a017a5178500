from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from rayboot.data.pair_index import index_faces, read_faces
from rayboot.data.row_index import select_shard
from rayboot.errors import RequestError, UnfinishedDataError
from rayboot.geometry.volume import pack_occupancy, unpack_occupancy
from tests.data.pair_sets import face, write_pairs

FACES = [face(index) for index in range(14)]
IDS = {
    split: sorted(row["face_id"] for row in FACES if row["split"] == split)
    for split in ("train", "val")
}


@pytest.fixture(scope="module", params=["in order", "shuffled"])
def pairs(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> str:
    """A data set of all faces, divided into files in two ways."""
    faces = list(FACES)
    if request.param == "shuffled":
        np.random.default_rng(1).shuffle(faces)
    folder = tmp_path_factory.mktemp("pairs") / "set"
    return write_pairs(folder, faces, 4 if request.param == "shuffled" else 3)


@pytest.mark.parametrize("split", ["train", "val"])
def test_faces_are_ordered_by_name_whatever_their_files(pairs: str, split: str) -> None:
    index = index_faces(pairs, split)
    assert index["face_id"].to_pylist() == IDS[split]
    rows = list(read_faces(pairs, index, "occupancy"))
    assert [row["face_id"] for row in rows] == IDS[split]
    known = {row["face_id"]: row for row in FACES}
    for row in rows:
        expected = known[row["face_id"]]
        assert row["target"] == expected["occupancy"]
        assert [v["image"] for v in row["views"]] == [v["image"] for v in expected["views"]]


def test_targets_of_another_kind_are_read_from_their_own_column(tmp_path: Path) -> None:
    heads = [{**row, "target_kind": "head", "target": bytes([i])} for i, row in enumerate(FACES)]
    uri = write_pairs(tmp_path / "heads", heads)
    index = index_faces(uri, "train")
    known = {row["face_id"]: row for row in heads}
    for kind, column in (("head", "target"), ("occupancy", "occupancy")):
        for row in read_faces(uri, index, kind):
            assert row["target"] == known[row["face_id"]][column]
    with pytest.raises(RequestError, match=r"of kind points.*learns from head"):
        list(read_faces(uri, index, "points"))


@pytest.mark.parametrize("num_workers", [1, 2, 3, 20])
def test_shards_contain_every_face_once(pairs: str, num_workers: int) -> None:
    index = index_faces(pairs, "train")
    shards = [select_shard(index, rank, num_workers) for rank in range(num_workers)]
    assert [name for shard in shards for name in shard["face_id"].to_pylist()] == IDS["train"]
    sizes = [len(shard) for shard in shards]
    assert max(sizes) - min(sizes) <= 1


def test_data_sets_without_faces_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnfinishedDataError):
        index_faces(str(tmp_path), "train")
    with pytest.raises(RequestError, match="no face"):
        index_faces(write_pairs(tmp_path / "set", []), "train")


@settings(max_examples=25)
@given(
    volume=st_numpy.arrays(bool, st.tuples(*[st.integers(1, 9)] * 3)),
    rows_per_file=st.integers(1, 3),
)
def test_any_occupancy_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, volume: np.ndarray, rows_per_file: int
) -> None:
    packed = {"occupancy": pack_occupancy(volume), "shape": list(volume.shape), "split": "train"}
    faces = [{**face(index), **packed} for index in range(2)]
    uri = write_pairs(tmp_path_factory.mktemp("pairs") / "set", faces, rows_per_file)
    rows = list(read_faces(uri, index_faces(uri, "train"), "occupancy"))
    assert len(rows) == 2
    for row in rows:
        assert np.array_equal(unpack_occupancy(row["target"], tuple(row["shape"])), volume)
