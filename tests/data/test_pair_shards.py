import io
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rayboot.data import PairsDataset, pair_shards
from rayboot.data.pair_shards import export_pairs
from rayboot.errors import RequestError, UnfinishedDataError
from tests.data.pair_sets import NUM_FACES, SHAPE, YAWS, face, write_pairs

NUM_VAL = 2 * len(YAWS)
NUM_TRAIN = NUM_FACES * len(YAWS) - NUM_VAL


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("pairs") / "set"
    return write_pairs(folder, [face(index) for index in range(NUM_FACES)])


def read_with_webdataset(folder: Path, split: str) -> list[dict[str, Any]]:
    import webdataset

    shards = sorted(str(path) for path in folder.glob(f"{split}-*.tar"))
    return list(webdataset.WebDataset(shards, shardshuffle=False).decode("rgb8"))


# The package leaves its files to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_package_webdataset_reads_what_the_data_set_gives(pairs: str, tmp_path: Path) -> None:
    summary = export_pairs(pairs, str(tmp_path), include_source=True)
    assert summary.num_samples == {"train": NUM_TRAIN + 4, "val": NUM_VAL + 2}
    for split in ("train", "val"):
        expected = PairsDataset(pairs, split, include_source=True, image_dtype=torch.uint8)  # type: ignore[arg-type]
        samples = read_with_webdataset(tmp_path, split)
        assert len(samples) == len(expected)
        for sample, reference in zip(samples, expected, strict=True):
            assert np.array_equal(sample["png"].transpose(2, 0, 1), reference["image"])
            assert np.array_equal(sample["npz"]["occupancy"], reference["target"])
            facts = sample["json"]
            assert facts["face_id"] == reference["face_id"]
            assert facts["yaw_deg"] == reference["yaw_deg"] and facts["target"] == "occupancy"
            assert facts["is_source"] == reference["is_source"] and facts["shape"] == list(SHAPE)
            assert np.float32(facts["transform"]) == pytest.approx(reference["transform"].numpy())


@pytest.mark.parametrize("target", ["soft_occupancy", "surface_depth", "none"])
def test_any_tar_reader_reads_every_kind_of_target(pairs: str, tmp_path: Path, target: Any) -> None:
    export_pairs(pairs, str(tmp_path), target)
    with tarfile.open(tmp_path / "val-000000.tar") as archive:
        names = archive.getnames()
        assert names[:2] == ["000000000.png", "000000000.json"]
        if target == "none":
            assert not [name for name in names if name.endswith("npz")]
            return
        payload = archive.extractfile("000000000.npz").read()  # type: ignore[union-attr]
    array = np.load(io.BytesIO(payload), allow_pickle=False)[target]
    expected = PairsDataset(pairs, "val", target=target)[0]["target"].numpy()
    if target == "soft_occupancy":
        assert array.dtype == np.uint8
        assert np.abs(array / 255 - expected).max() < 0.002
    else:
        assert np.array_equal(array, expected)


def test_shards_are_small_and_listed(pairs: str, tmp_path: Path) -> None:
    summary = export_pairs(pairs, str(tmp_path), max_shard_bytes=20_480)
    shards = sorted(tmp_path.glob("*.tar"))
    assert summary.num_shards == len(shards) > 4
    assert all(path.stat().st_size <= 20_480 for path in shards)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert sorted(shard["name"] for shard in manifest["shards"]) == [path.name for path in shards]
    assert summary.num_bytes == sum(path.stat().st_size for path in shards)
    assert {path.name for path in tmp_path.iterdir()} == {
        "manifest.json",
        *(path.name for path in shards),
    }
    # Larger samples than a shard get one each.
    tiny = export_pairs(pairs, str(tmp_path / "tiny"), max_shard_bytes=1)
    assert tiny.num_shards == NUM_TRAIN + NUM_VAL


def test_an_interrupted_export_resumes_to_the_same_bytes(
    pairs: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    export_pairs(pairs, str(whole), max_shard_bytes=20_480)
    made: list[int] = []
    pack_sample = pair_shards._pack_sample

    def interrupted(dataset: PairsDataset, number: int) -> list[tuple[str, bytes]]:
        made.append(number)
        if len(made) == 14:
            raise KeyboardInterrupt
        return pack_sample(dataset, number)

    monkeypatch.setattr(pair_shards, "_pack_sample", interrupted)
    with pytest.raises(KeyboardInterrupt):
        export_pairs(pairs, str(resumed), max_shard_bytes=20_480)
    assert not (resumed / "manifest.json").exists() and list(resumed.glob("*.tar"))
    export_pairs(pairs, str(resumed), max_shard_bytes=20_480)
    assert len(made) < 14 + NUM_TRAIN + NUM_VAL  # finished shards were not made again
    for path in whole.iterdir():
        assert path.read_bytes() == (resumed / path.name).read_bytes()
    made.clear()
    export_pairs(pairs, str(resumed), max_shard_bytes=20_480)
    assert made == []


def test_an_export_of_other_settings_is_refused(pairs: str, tmp_path: Path) -> None:
    export_pairs(pairs, str(tmp_path))
    with pytest.raises(RequestError, match="holds an export with target 'occupancy'"):
        export_pairs(pairs, str(tmp_path), "surface_depth")
    for inside in (pairs, f"{pairs}/shards"):
        with pytest.raises(RequestError, match="a place outside of the data set"):
            export_pairs(pairs, inside)
    other = tmp_path / "other"
    other.mkdir()
    (other / "manifest.json").write_text("[]")
    with pytest.raises(RequestError, match="expected the record of an export"):
        export_pairs(pairs, str(other))


def test_a_data_set_of_one_split_is_exported(tmp_path: Path) -> None:
    uri = write_pairs(tmp_path / "set", [face(1)])
    assert export_pairs(uri, str(tmp_path / "out")).num_samples == {"train": len(YAWS), "val": 0}
    (tmp_path / "set/manifest.json").unlink()
    with pytest.raises(UnfinishedDataError):
        export_pairs(uri, str(tmp_path / "again"))
