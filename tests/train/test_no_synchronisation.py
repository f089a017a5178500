"""A training step queues its work and never waits for the device in between."""

import contextlib

import numpy as np
import pytest
import torch

from rayboot.models import VRN, VRNConfig
from rayboot.train.loop import train_step
from rayboot.train.objective import Objective
from rayboot.train.prefetch import DeviceBatch, read_ahead
from rayboot.train.sample_store import Sample, SampleStore
from rayboot.train.train_state import TrainState
from rayboot.train.training_config import AugmentConfig, OptimizerConfig

TINY = VRNConfig.compact().replace(
    resolution=32, slices=16, channels=16, stem_channels=8, stem_bottleneck=4
)
EVERYTHING = OptimizerConfig(
    ema_decay=0.9,
    augment=AugmentConfig(
        flip=True, color_jitter=0.2, light=0.2, blur=0.02, noise=0.02, occlusion=0.2
    ),
)
IS_SOURCE = np.array([True, False, False, True])


def prepare(device: torch.device, config: OptimizerConfig) -> tuple[TrainState, Objective]:
    torch.manual_seed(0)
    state = TrainState(VRN(TINY).to(device), config)
    return state, Objective(VRN(TINY).to(device), 0.5)


def test_no_value_on_the_device_is_read_during_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    # Tensors without data refuse whatever would have to wait for them; they have neither a
    # generator of noise nor a second precision.
    monkeypatch.setattr("rayboot.train.loop.autocast", lambda *_: contextlib.nullcontext())
    meta = torch.device("meta")
    images = torch.empty((4, 3, 32, 32), device=meta)
    targets = torch.empty((4, 16, 32, 32), dtype=torch.bool, device=meta)
    batch = DeviceBatch(images, targets, IS_SOURCE, torch.empty(4, device=meta))
    config = EVERYTHING.replace(augment=EVERYTHING.augment.replace(noise=0.0))
    state, objective = prepare(meta, config)
    for seed in range(2):
        loss = train_step(state, batch, objective, np.random.default_rng(seed))
        assert loss.shape == () and loss.device == meta


@pytest.mark.gpu
def test_a_step_with_its_batch_does_not_synchronise() -> None:
    device = torch.device("cuda", 0)
    network = VRN(TINY).to(device)
    bits = np.zeros((16, 32, 4), np.uint8)
    samples = [Sample(np.zeros((32, 32, 3), np.uint8), bits.tobytes())] * 4
    store = SampleStore(samples, (16, 32, 32), lambda *_: bits.copy())
    (batch, _), *_ = read_ahead(network, store, [np.arange(4)], device)
    batch = batch._replace(is_source=IS_SOURCE)
    state, objective = prepare(device, EVERYTHING)
    train_step(state, batch, objective, np.random.default_rng(0))
    packed = torch.zeros((4, 16, 32, 4), dtype=torch.uint8, device=device)
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        train_step(state, batch, objective, np.random.default_rng(1))
        network.transform_targets(packed, np.tile(np.eye(3, 4), (4, 1, 1)))
    finally:
        torch.cuda.set_sync_debug_mode("default")
