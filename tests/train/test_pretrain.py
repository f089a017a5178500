import json
from pathlib import Path

import torch

from rayboot.models import VRN, HeadConfig, HeadRegressor, VRNConfig, load_network, load_vrn
from rayboot.train.pretrain import pretrain, read_truth_samples
from rayboot.train.training_config import OptimizerConfig, PretrainConfig

TINY = VRNConfig.compact().replace(channels=16, stem_channels=8, stem_bottleneck=4)


def config(data: str, output: Path) -> PretrainConfig:
    optimizer = OptimizerConfig(batch_size=8, num_epochs=1, precision="float32", seed=3)
    return PretrainConfig(data=data, output=str(output), val_fraction=0.3, optimizer=optimizer)


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
