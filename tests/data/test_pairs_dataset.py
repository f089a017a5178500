import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from torch.utils.data import DataLoader

from rayboot.data import PairsDataset
from rayboot.data.pair_shards import export_pairs
from rayboot.errors import RequestError, UnfinishedDataError
from rayboot.geometry.volume import transform_volume
from tests.data.pair_sets import (
    NUM_FACES,
    SHAPE,
    YAWS,
    face,
    plain_image,
    solid,
    transform_of,
    write_pairs,
)
from tests.s3 import S3Server

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("pairs") / "set"
    return write_pairs(folder, [face(index) for index in (3, 0, 5, 1, 4, 2)])


def test_a_sample_is_an_image_with_the_shape_that_it_shows(pairs: str) -> None:
    dataset = PairsDataset(pairs)
    assert len(dataset) == NUM_FACES * len(YAWS) and dataset.shape == SHAPE
    for number in (0, 7, len(dataset) - 1):
        sample = dataset[number]
        index, place = divmod(number, len(YAWS))
        yaw = YAWS[place]
        assert sample["face_id"] == f"photos/{index}.jpg"
        assert (sample["yaw_deg"], sample["pitch_deg"], sample["is_source"]) == (yaw, 0.0, False)
        image = plain_image(10 * index + place).transpose(2, 0, 1)
        assert np.array_equal((sample["image"] * 255).round().byte(), image)
        assert sample["image"].dtype == torch.float32
        stored = np.float32(transform_of(yaw)).astype(np.float64)
        assert sample["transform"].numpy() == pytest.approx(stored)
        assert sample["target"].dtype == torch.bool
        assert np.array_equal(sample["target"], transform_volume(solid(index), stored))
        assert sample["gaze"][0] == pytest.approx(np.sin(np.radians(yaw)), abs=1e-6)
    assert dataset.yaws_deg.tolist() == list(YAWS) * NUM_FACES
    assert np.array_equal(dataset[-1]["target"], dataset[len(dataset) - 1]["target"])
    with pytest.raises(IndexError):
        dataset[len(dataset)]


def test_splits_divide_the_faces(pairs: str) -> None:
    ids = {
        split: {sample["face_id"] for sample in PairsDataset(pairs, split, target=None)}
        for split in ("train", "val", None)
    }
    assert ids["val"] == {"photos/0.jpg", "photos/3.jpg"}
    assert ids["train"] == ids[None] - ids["val"] and len(ids[None]) == NUM_FACES


def test_unrotated_photos_follow_their_views(pairs: str) -> None:
    dataset = PairsDataset(pairs, include_source=True, image_dtype=torch.uint8)
    step = len(YAWS) + 1
    assert len(dataset) == NUM_FACES * step
    for index in range(NUM_FACES):
        sample = dataset[index * step + step - 1]
        assert sample["is_source"] and sample["yaw_deg"] == 0
        assert sample["image"].dtype == torch.uint8 and (sample["image"] == 200 + index).all()
        assert np.array_equal(sample["target"], solid(index))
        assert np.array_equal(sample["transform"], np.eye(3, 4))
        assert sample["gaze"].isnan().all()  # this data set does not have it
    assert dataset.yaws_deg[step - 1 :: step].tolist() == [0.0] * NUM_FACES


def test_soft_occupancy_is_that_of_the_solid(pairs: str) -> None:
    hard, soft = (
        PairsDataset(pairs, target=target, include_source=True)  # type: ignore[arg-type]
        for target in ("occupancy", "soft_occupancy")
    )
    for number in (0, 2, 5, 9):
        expected, target = hard[number]["target"], soft[number]["target"]
        assert target.shape == SHAPE and target.dtype == torch.float32
        assert 0 <= target.min() < 0.1 and 0.9 < target.max() <= 1
        # A box rotated as bits and as depth maps differs at its edges, by a voxel.
        differs = expected != (target >= 0.5)
        assert differs.sum() < 0.25 * expected.sum()


def test_depth_maps_are_in_the_frame_of_the_view(tmp_path: Path) -> None:
    uri = write_pairs(tmp_path / "set", [face(0)])
    dataset = PairsDataset(uri, target="surface_depth", include_source=True)
    source = dataset[len(YAWS)]["target"]
    # The solid occupies slices 4 to 13 of 20, two a pixel: half a pixel beyond the centres.
    assert source.shape == (3, 32, 32)
    inside = source[2] > 2
    assert source[0][inside].mean() == pytest.approx((13.5 - 9.5) / 2, abs=0.03)
    assert source[1][inside].mean() == pytest.approx((3.5 - 9.5) / 2, abs=0.03)
    # Without a rotation, the view is the solid scaled by 0.9 and moved by 0.25 px in depth.
    straight = dataset[YAWS.index(0.0)]["target"]
    inside = straight[2] > 2
    assert inside.any()
    assert straight[0][inside].mean() == pytest.approx(0.9 * 2 + 0.25, abs=0.05)
    assert straight[1][inside].mean() == pytest.approx(0.9 * -3 + 0.25, abs=0.05)


def test_depth_maps_of_a_sphere_stay_under_rotation(tmp_path: Path) -> None:
    # A sphere looks the same from everywhere.
    from rayboot.geometry.surface_depth import (
        complete_surface_depth,
        measure_columns,
        pack_surface_depth,
    )

    slices, rows, columns = np.meshgrid(*(np.arange(n) for n in SHAPE), indexing="ij")
    x, y, z = columns - 15.5, 15.5 - rows, (slices - 9.5) / 2
    field = 4.0 - np.sqrt(x**2 + y**2 + z**2)
    depth = complete_surface_depth(measure_columns(field), SHAPE[2])
    row = {**face(0), "surface_depth": pack_surface_depth(depth)}
    for view in row["views"]:
        rotation = np.reshape(view["transform"], (3, 4))[:, :3] / 0.9
        view["transform"] = np.hstack([rotation, np.zeros((3, 1))]).ravel().tolist()
    dataset = PairsDataset(write_pairs(tmp_path / "set", [row]), target="surface_depth")
    across = np.hypot(x[0], y[0])
    for number in range(len(YAWS)):
        front = dataset[number]["target"][0].numpy()
        expected = np.sqrt(np.maximum(0, 16 - across**2))
        # At 60 degrees the front was a steep side of this small sphere, on few cells of the maps.
        is_small = abs(YAWS[number]) <= 20
        inside = across < (3.0 if is_small else 1.5)
        assert np.abs(front - expected)[inside].max() < (0.25 if is_small else 0.5)


def test_a_solid_outside_the_volume_has_an_empty_outline(tmp_path: Path) -> None:
    row = face(0)
    moved = np.hstack([np.eye(3), [[500.0], [0.0], [0.0]]])
    row["views"][0]["transform"] = moved.ravel().tolist()
    maps = PairsDataset(write_pairs(tmp_path / "set", [row]), target="surface_depth")[0]["target"]
    assert (maps[2] < 0).all() and maps.isfinite().all()


def test_heads_are_transformed_with_the_view(tmp_path: Path) -> None:
    from rayboot.models.head_regressor import head_landmarks, pack_head, unpack_head
    from rayboot.models.weights import load_network

    network = load_network(ROOT / "rayboot/models/head.safetensors")
    with torch.no_grad():
        head = network(torch.rand(1, 3, 96, 96, generator=torch.manual_seed(0)), raw=True)[0]
    payload = pack_head(head.numpy())
    rows = [{**face(index), "target_kind": "head", "target": payload} for index in range(2)]
    dataset = PairsDataset(write_pairs(tmp_path / "set", rows), target="head", include_source=True)
    assert np.array_equal(dataset[len(YAWS)]["target"], unpack_head(payload))
    sample = dataset[0]
    points = head_landmarks(pack_head(sample["target"].numpy()))
    transform = transform_of(YAWS[0])
    expected = head_landmarks(payload) @ transform[:, :3].T + transform[:, 3]
    assert points == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("start_method", ["fork", "spawn"])
def test_workers_of_a_data_loader_read_it(pairs: str, start_method: str) -> None:
    dataset = PairsDataset(pairs, "train", target="soft_occupancy", cache_bytes=0)
    dataset[0]  # what this process has read does not disturb its children
    loader = DataLoader(
        dataset, batch_size=7, num_workers=2, multiprocessing_context=start_method, shuffle=True
    )
    seen = []
    for batch in loader:
        assert batch["image"].shape[1:] == (3, 32, 32)
        assert batch["target"].shape == (len(batch["image"]), *SHAPE)
        seen += zip(batch["face_id"], batch["yaw_deg"].tolist(), strict=True)
    assert len(seen) == len(set(seen)) == len(dataset)


@pytest.mark.s3
def test_forked_workers_read_and_write_a_store(
    tmp_path: Path, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    local = write_pairs(tmp_path / "set", [face(index) for index in range(3)])
    filesystem = s3_server.filesystem()
    filesystem.call_s3("create_bucket", Bucket="pairs-dataset")
    filesystem.put(local, "pairs-dataset/set", recursive=True)
    dataset = PairsDataset("s3://pairs-dataset/set")
    dataset[0]  # the client of this process has threads, which a fork does not copy
    loader = DataLoader(dataset, batch_size=4, num_workers=2, multiprocessing_context="fork")
    ids = [name for batch in loader for name in batch["face_id"]]
    assert len(ids) == 3 * len(YAWS)
    summary = export_pairs("s3://pairs-dataset/set", "s3://pairs-dataset/shards")
    assert filesystem.exists("pairs-dataset/shards/manifest.json") and summary.num_shards == 2


def test_a_transform_makes_the_sample(pairs: str) -> None:
    def flip(sample: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
        return sample["image"].flip(-1), sample["target"].flip(-1)

    image, target = PairsDataset(pairs, transform=flip)[0]
    plain = PairsDataset(pairs)[0]
    assert torch.equal(image.flip(-1), plain["image"])
    assert torch.equal(target.flip(-1), plain["target"])


def test_the_files_read_last_are_kept_within_the_limit(pairs: str) -> None:
    dataset = PairsDataset(pairs, cache_bytes=2**20)
    for number in range(len(dataset)):
        dataset.read_view(number)
    small = PairsDataset(pairs, cache_bytes=1)
    for number in (0, 12, 25):
        small.read_view(number)
    assert len(small._cache._tables) == 1 and len(dataset._cache._tables) == 3
    assert len(pickle.loads(pickle.dumps(dataset))._cache._tables) == 0


def test_what_a_data_set_lacks_is_named(pairs: str, tmp_path: Path) -> None:
    uri = write_pairs(tmp_path / "old", [face(0)])
    (file,) = (tmp_path / "old/outcome=face").glob("*.parquet")
    pq.write_table(pq.read_table(file).drop(["surface_depth"]), file)
    assert PairsDataset(uri)[0]["target"].any()
    with pytest.raises(RequestError, match=r"photos/0\.jpg has no surface_depth"):
        PairsDataset(uri, target="soft_occupancy")[0]
    with pytest.raises(RequestError, match=r"no targets of kind head.*learns from occupancy"):
        PairsDataset(pairs, target="head")
    with pytest.raises(RequestError, match="occupancy, soft_occupancy, surface_depth, head, got"):
        PairsDataset(pairs, target="points")  # type: ignore[arg-type]
    with pytest.raises(RequestError, match="image_dtype"):
        PairsDataset(pairs, image_dtype=torch.float16)
    with pytest.raises(RequestError, match="no face of the split train"):
        PairsDataset(write_pairs(tmp_path / "val", [face(0)]), "train")
    (tmp_path / "old/manifest.json").unlink()
    with pytest.raises(UnfinishedDataError):
        PairsDataset(uri)
    with pytest.raises(RequestError, match="every photo was rejected"):
        PairsDataset(write_pairs(tmp_path / "none", []))


def test_ray_is_not_loaded(pairs: str) -> None:
    code = (
        "import sys; from rayboot.data import PairsDataset; "
        f"PairsDataset({pairs!r})[0]; sys.exit('ray' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
