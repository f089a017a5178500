"""Checkpoints and pairs data sets of rayboot 0.1 keep working."""

from pathlib import Path

import numpy as np
import pytest
import torch

from rayboot.data.manifest import require_finished
from rayboot.data.pair_index import index_faces, read_faces
from rayboot.models import load_network
from rayboot.train.sample_reader import read_samples
from rayboot.train.train_state import TrainState, load_position
from rayboot.train.training_config import FinetuneConfig, OptimizerConfig
from rayboot.train.validation import ious
from rayboot.train.worker import STATE, WEIGHTS

# As the round of the archive was configured, in today's words.
OPTIMIZER = OptimizerConfig(
    batch_size=4, num_epochs=2, lr_halving_epochs=1, ema_decay=0.9, precision="float32"
)


@pytest.fixture
def config(version_0_1: Path) -> FinetuneConfig:
    return FinetuneConfig(
        data=str(version_0_1 / "round/pairs"),
        model=str(version_0_1 / "tiny.safetensors"),
        source_fraction=0.25,
        optimizer=OPTIMIZER,
    )


def test_the_manifest_is_read(config: FinetuneConfig) -> None:
    manifest = require_finished(config.data)
    assert manifest.code_version == "0.1.0"
    assert (manifest.counts["faces"], manifest.counts["views"]) == (8, 32)


def test_faces_and_samples_are_read(config: FinetuneConfig) -> None:
    network = load_network(config.model)
    num_faces, num_views = 0, 0
    for split in ("train", "val"):
        faces = list(read_faces(config.data, index_faces(config.data, split), "occupancy"))
        num_faces += len(faces)
        num_views += sum(len(face["views"]) for face in faces)
        samples = read_samples(config, network, split)
        batch = samples.read(np.arange(len(samples)))
        assert len(samples) == sum(len(face["views"]) for face in faces) + batch.is_source.sum()
        targets = network.transform_targets(torch.from_numpy(batch.targets), batch.transforms)
        assert targets.shape == (len(samples), 48, 48, 48)
        assert targets.flatten(1).any(dim=1).all()
    assert (num_faces, num_views) == (8, 32)


def test_training_resumes_from_a_checkpoint(version_0_1: Path, config: FinetuneConfig) -> None:
    (checkpoint,) = (version_0_1 / "round/training/finetune").glob("checkpoint_*/")
    weights = load_network(checkpoint / WEIGHTS).state_dict()
    position = load_position(checkpoint / STATE)
    state = TrainState(load_network(config.model), OPTIMIZER)
    state.restore(position, weights)
    assert (state.next_epoch, state.next_step) == (1, 0)
    assert [record.epoch for record in state.epochs] == [0]
    for name, value in state.result.state_dict().items():
        assert torch.equal(value, weights[name]), name
    # The optimizer's moments and the unaveraged weights are restored as well.
    assert state.optimizer.state_dict()["state"].keys() == position["optimizer"]["state"].keys()
    val = read_samples(config, state.result, "val")
    restored = ious(state.result, val, np.arange(len(val)), OPTIMIZER)
    assert np.isfinite(restored).all()
