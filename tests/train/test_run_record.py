from collections.abc import Callable
from pathlib import Path

import pytest

from rayboot.errors import RequestError
from rayboot.registry.runs import open_run
from rayboot.train.run_record import load_run, save_run
from rayboot.train.training_config import FinetuneConfig


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
