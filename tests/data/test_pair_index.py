from pathlib import Path

import numpy as np
import pytest

from rayboot.data.pair_index import index_faces, read_faces, select_shard
from rayboot.errors import RequestError, UnfinishedDataError
from tests.data.pair_sets import face, write_pairs

FACES = [face(index) for index in range(14)]
IDS = {
    split: sorted(row["face_id"] for row in FACES if row["split"] == split)
    for split in ("train", "val")
}


@pytest.fixture(scope="module", params=["in order", "shuffled"])
def pairs(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> str:
    """The same faces, cut into files in two ways."""
    faces = list(FACES)
    if request.param == "shuffled":
        np.random.default_rng(1).shuffle(faces)
    folder = tmp_path_factory.mktemp("pairs") / "set"
    return write_pairs(folder, faces, 4 if request.param == "shuffled" else 3)


@pytest.mark.parametrize("split", ["train", "val"])
def test_faces_come_in_an_order_of_their_own(pairs: str, split: str) -> None:
    index = index_faces(pairs, split)
    assert index["face_id"].to_pylist() == IDS[split]
    rows = list(read_faces(pairs, index, "occupancy"))
    assert [row["face_id"] for row in rows] == IDS[split]
    known = {row["face_id"]: row for row in FACES}
    for row in rows:
        expected = known[row["face_id"]]
        assert row["target"] == expected["occupancy"]
        assert [v["image"] for v in row["views"]] == [v["image"] for v in expected["views"]]


def test_targets_of_another_kind_lie_in_a_column_of_their_own(tmp_path: Path) -> None:
    heads = [{**row, "target_kind": "head", "target": bytes([i])} for i, row in enumerate(FACES)]
    uri = write_pairs(tmp_path / "heads", heads)
    index = index_faces(uri, "train")
    known = {row["face_id"]: row for row in heads}
    for kind, column in (("head", "target"), ("occupancy", "occupancy")):
        for row in read_faces(uri, index, kind):
            assert row["target"] == known[row["face_id"]][column]
    with pytest.raises(RequestError, match="of kind head, the network learns from kind points"):
        list(read_faces(uri, index, "points"))


@pytest.mark.parametrize("num_workers", [1, 2, 3, 20])
def test_workers_share_all_faces_and_none_twice(pairs: str, num_workers: int) -> None:
    index = index_faces(pairs, "train")
    shares = [select_shard(index, rank, num_workers) for rank in range(num_workers)]
    assert [name for share in shares for name in share["face_id"].to_pylist()] == IDS["train"]
    sizes = [len(share) for share in shares]
    assert max(sizes) - min(sizes) <= 1


def test_sets_without_faces_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnfinishedDataError):
        index_faces(str(tmp_path), "train")
    with pytest.raises(RequestError, match="no face"):
        index_faces(write_pairs(tmp_path / "set", []), "train")
