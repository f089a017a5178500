from pathlib import Path

import numpy as np
import pytest
import torch

from rayboot.errors import ShapeError
from rayboot.geometry.volume import pack_occupancy
from rayboot.models import VRN, VRNConfig
from rayboot.train.augment import augment_batch
from rayboot.train.config import OptimizerConfig
from rayboot.train.loop import TrainState, learning_rate, train_epochs, validate
from rayboot.train.samples import Batch, SampleStore
from rayboot.train.targets import TurnTargets, repeat_source

TINY = VRNConfig.compact().replace(
    resolution=32, slices=16, channels=16, stem_channels=8, stem_bottleneck=4
)
SHAPE = (16, 32, 32)


def disc_samples(count: int, seed: int = 0) -> SampleStore:
    """A bright disc, and a solid behind it: something that a network can learn."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:32, :32]
    samples = []
    for _ in range(count):
        centre, radius = rng.uniform(12, 20, 2), rng.uniform(5, 9)
        disc = np.hypot(x - centre[0], y - centre[1]) < radius
        image = np.where(disc[..., None], 220, 30).astype(np.uint8).repeat(3, axis=-1)
        volume = np.zeros(SHAPE, bool)
        volume[4:12] = disc
        samples.append((image, pack_occupancy(volume)))
    return SampleStore(samples, SHAPE)


def fresh(config: OptimizerConfig, seed: int = 0) -> TrainState:
    torch.manual_seed(seed)
    return TrainState(VRN(TINY), config)


CONFIG = OptimizerConfig(
    batch_size=8, learning_rate=2e-3, num_epochs=2, halve_every=1, precision="float32", seed=0
)


def test_rate_is_halved_every_so_many_epochs() -> None:
    config = OptimizerConfig(learning_rate=0.8, halve_every=5)
    assert [learning_rate(config, epoch) for epoch in (0, 4, 5, 9, 10)] == [0.8, 0.8, 0.4, 0.4, 0.2]


def test_the_loss_falls_and_the_overlap_rises() -> None:
    state, val = fresh(CONFIG.replace(num_epochs=10, halve_every=6)), disc_samples(8, seed=1)
    before = validate(state.network, val, CONFIG)
    records = list(train_epochs(state, disc_samples(64), val))
    assert records[-1].val_loss < 0.5 * before[0]
    assert records[-1].val_iou > 0.5 > before[1]


def test_one_seed_gives_one_loss_to_the_last_bit() -> None:
    runs = [
        [r.train_loss for r in train_epochs(fresh(CONFIG), disc_samples(24), disc_samples(8, 1))]
        for _ in range(2)
    ]
    assert runs[0] == runs[1]
    other = CONFIG.replace(seed=1)
    assert runs[0] != [
        r.train_loss for r in train_epochs(fresh(other), disc_samples(24), disc_samples(8, 1))
    ]


def test_a_resumed_run_sees_what_an_undisturbed_one_sees(tmp_path: Path) -> None:
    train, val = disc_samples(24), disc_samples(8, 1)
    whole = list(train_epochs(fresh(CONFIG), train, val))
    state = fresh(CONFIG)
    next(train_epochs(state, train, val))
    torch.save([state.network.state_dict(), state.optimizer.state_dict()], tmp_path / "state.pt")
    network, optimizer = torch.load(tmp_path / "state.pt", weights_only=True)
    resumed = fresh(CONFIG, seed=99)
    resumed.network.load_state_dict(network)
    resumed.optimizer.load_state_dict(optimizer)
    resumed.next_epoch = 1
    assert list(train_epochs(resumed, train, val)) == whole[1:]


def test_steps_are_reported() -> None:
    seen: list[tuple[int, int]] = []
    list(
        train_epochs(
            fresh(CONFIG.replace(num_epochs=1)),
            disc_samples(24),
            disc_samples(8, 1),
            on_step=lambda step, count, loss: seen.append((step, count)),
        )
    )
    assert seen == [(0, 3), (1, 3), (2, 3)]


def test_mirroring_goes_for_image_and_volume_alike() -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (20, 8, 8, 3)).astype(np.uint8)
    targets = np.repeat(images[:, None, :, :, 0] > 100, 4, axis=1)
    changed = augment_batch(rng, Batch(images, targets), flip=True, color_jitter=0.0)
    mirrored = (changed.images != images).any(axis=(1, 2, 3))
    assert 3 < mirrored.sum() < 17
    assert np.array_equal(changed.targets, np.repeat(changed.images[:, None, :, :, 0] > 100, 4, 1))


def test_jitter_moves_colours_and_no_target() -> None:
    rng = np.random.default_rng(0)
    images = np.full((4, 8, 8, 3), 100, np.uint8)
    images[:, :4] = 140
    targets = np.zeros((4, 2, 8, 8), bool)
    changed = augment_batch(rng, Batch(images, targets), flip=False, color_jitter=0.2)
    assert changed.targets is targets
    assert (changed.images != images).any()
    assert np.abs(changed.images.astype(int) - images).max() < 70
    same = augment_batch(rng, Batch(images, targets), flip=False, color_jitter=0.0)
    assert same.images is images


def test_samples_are_checked() -> None:
    packed = pack_occupancy(np.zeros(SHAPE, bool))
    with pytest.raises(ShapeError, match="sample 0"):
        SampleStore([(np.zeros((16, 16, 3), np.uint8), packed)], SHAPE)
    with pytest.raises(ShapeError, match="empty"):
        SampleStore([], SHAPE)


def test_targets_are_turned_when_read() -> None:
    import pyarrow as pa

    from rayboot.geometry.volume import transform_volume, unpack_occupancy

    volume = np.zeros((32, 32, 32), bool)
    volume[8:20, 6:20, 4:16] = True
    turn = np.array([[0.0, 0, 1, 0], [0, 1, 0, 0], [-1, 0, 0, 0]])
    table = pa.Table.from_pylist(
        [
            {"face_id": "a", "image": b"", "shape": [32, 32, 32], "yaw_deg": 0.0, "pitch_deg": 0.0,
             "occupancy": pack_occupancy(volume), "transform": transform.ravel().tolist()}
            for transform in (np.eye(3, 4), turn)
        ]
    )  # fmt: skip
    still, turned = TurnTargets()(table)["target"].to_pylist()
    assert np.array_equal(unpack_occupancy(still, volume.shape), volume)
    assert np.array_equal(unpack_occupancy(turned, volume.shape), transform_volume(volume, turn))


def test_unrotated_photos_take_part_as_often_as_asked() -> None:
    counts = [repeat_source(f"{i}.jpg", 1.3) for i in range(2000)]
    assert set(counts) == {1, 2}
    assert np.mean(counts) == pytest.approx(1.3, abs=0.05)
    assert counts == [repeat_source(f"{i}.jpg", 1.3) for i in range(2000)]
