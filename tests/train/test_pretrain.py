import json
from pathlib import Path

import pytest
import torch

from rayboot.errors import RequestError
from rayboot.models import (
    VRN,
    HeadConfig,
    HeadRegressor,
    UNetConfig,
    VRNConfig,
    load_network,
    load_vrn,
)
from rayboot.train import pretrain as pretrain_module
from rayboot.train.pretrain import pretrain, read_truth_samples
from rayboot.train.train_state import TrainState
from rayboot.train.training_config import OptimizerConfig, PretrainConfig

TINY = VRNConfig.compact().replace(channels=16, stem_channels=8, stem_bottleneck=4)


def config(data: str, output: Path) -> PretrainConfig:
    optimizer = OptimizerConfig(batch_size=8, num_epochs=1, precision="float32", seed=3)
    return PretrainConfig(
        data=data, output=str(output), network="vrn", val_fraction=0.3, optimizer=optimizer
    )


def test_every_photo_is_in_one_split(synthetic_set: str, tmp_path: Path) -> None:
    train, val = read_truth_samples(config(synthetic_set, tmp_path), VRN(TINY))
    assert len(train) + len(val) == 24
    assert len(val) > 0
    assert train.shape == (96, 96, 96)


def test_a_head_regressor_is_trained_on_the_same_set(synthetic_set: str, tmp_path: Path) -> None:
    run = config(synthetic_set, tmp_path).replace(network="head")
    sizes = HeadConfig(channels=(16, 16, 16, 16, 16), features=32)
    weights = pretrain(run, sizes)
    assert weights.name == "head.safetensors"
    network = load_network(weights)
    assert isinstance(network, HeadRegressor)
    assert network.config == sizes
    (epoch,) = json.loads((tmp_path / "record.json").read_text())["epochs"]
    # Distances are fractions of the outer eye distance; no head is far from the mean head.
    assert 0.02 < epoch["val_loss"] < 0.6
    assert 0.3 < epoch["val_iou"] < 1


class InterruptionError(Exception):
    pass


def test_an_interrupted_run_ends_with_the_same_weights(
    synthetic_set: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = UNetConfig(channels=(16, 16), num_blocks=1, head_channels=16)

    def run(output: Path) -> PretrainConfig:
        optimizer = OptimizerConfig(
            batch_size=4,
            num_epochs=2,
            precision="float32",
            schedule="cosine",
            augment={"flip": True, "crop_shift": 0.05, "color_jitter": 0.2},
        )
        return config(synthetic_set, output).replace(network="unet", optimizer=optimizer)

    whole = load_network(pretrain(run(tmp_path / "whole"), sizes)).state_dict()
    # The state is saved after every step, and the process ends after the third.
    monkeypatch.setattr(pretrain_module, "_SAVE_INTERVAL_S", 0.0)
    steps = iter(range(2))

    def interrupt(self: object, state: TrainState) -> None:
        original(self, state)
        if next(steps, None) is None:
            raise InterruptionError

    original = pretrain_module._SavedState.save_if_due
    monkeypatch.setattr(pretrain_module._SavedState, "save_if_due", interrupt)
    with pytest.raises(InterruptionError):
        pretrain(run(tmp_path / "parts"), sizes)
    monkeypatch.setattr(pretrain_module._SavedState, "save_if_due", original)
    resumed = load_network(pretrain(run(tmp_path / "parts"), sizes)).state_dict()
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)
    with pytest.raises(RequestError, match="another config"):
        pretrain(run(tmp_path / "parts").replace(val_fraction=0.5), sizes)


def test_a_config_reproduces_its_weights(synthetic_set: str, tmp_path: Path) -> None:
    first, second = (
        load_vrn(pretrain(config(synthetic_set, tmp_path / name), TINY)).state_dict()
        for name in ("one", "two")
    )
    assert all(torch.equal(first[key], second[key]) for key in first)
    record = json.loads((tmp_path / "one/record.json").read_text())
    assert record["config"]["optimizer"]["seed"] == 3
    assert len(record["epochs"]) == 1
    assert record["network"]["channels"] == 16
