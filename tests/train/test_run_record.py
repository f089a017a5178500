from collections.abc import Callable
from pathlib import Path

import pytest

from rayboot.data.manifest import require_finished
from rayboot.errors import RequestError
from rayboot.models import VRN, VRNConfig, save_network
from rayboot.registry.runs import open_run
from rayboot.train.finetune import prepare_finetune
from rayboot.train.run_record import load_manifest_digest, load_run, save_run
from rayboot.train.sample_reader import read_samples
from rayboot.train.training_config import FinetuneConfig
from tests.data.pair_sets import YAWS, face, write_pairs


def test_the_same_request_finds_its_run(
    tmp_path: Path, create_mlflow_store: Callable[[Path], str]
) -> None:
    config = FinetuneConfig(data="pairs", model="builtin:compact", storage=str(tmp_path))
    assert load_run(config) is None
    run = open_run(create_mlflow_store(tmp_path), "tests", "finetune")
    save_run(config, run)
    # Number and kind of machines may change.
    elsewhere = config.replace(num_workers=(1, 4), cpus_per_worker=2.0, max_failures=-1)
    assert load_run(config) == load_run(elsewhere) == run.run_id
    with pytest.raises(RequestError, match=r"begun with another config_digest.*another name"):
        load_run(config.replace(distillation=1.0))
    assert load_run(config.replace(name="second")) is None


def test_an_interrupted_run_keeps_to_its_manifest(
    tmp_path: Path, create_mlflow_store: Callable[[Path], str]
) -> None:
    """A data set that grows between two calls does not change what a training learns from."""
    weights = tmp_path / "tiny.safetensors"
    network = VRN(VRNConfig.compact().replace(resolution=32, slices=20, channels=8))
    save_network(network, weights)
    rows = [face(index) for index in range(6)]
    data = write_pairs(tmp_path / "pairs", rows[:4])
    config = FinetuneConfig(
        data=data,
        model=str(weights),
        storage=str(tmp_path / "runs"),
        tracking_uri=create_mlflow_store(tmp_path),
    )
    assert load_manifest_digest(config) is None
    first = prepare_finetune(config)
    assert first.manifest == require_finished(data).digest()
    run = open_run(config.tracking_uri, "tests", "finetune")
    save_run(first.config, run, first.manifest)
    write_pairs(tmp_path / "pairs", rows[4:])
    assert require_finished(data).digest() != first.manifest
    assert prepare_finetune(config) == first
    pinned = config.replace(manifest=first.manifest)
    num_train = sum(row["split"] == "train" for row in rows[:4])
    assert len(read_samples(pinned, network, "train")) == num_train * len(YAWS)
    assert prepare_finetune(config.replace(name="new")).manifest != first.manifest
