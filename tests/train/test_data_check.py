from pathlib import Path
from typing import Any

import pytest

from rayboot.errors import RequestError
from rayboot.models import HeadConfig, UNetConfig, VRNConfig
from rayboot.train.data_check import require_pairs, require_truth
from rayboot.train.training_config import FinetuneConfig, PretrainConfig
from tests.data.pair_sets import NUM_FACES, face, write_pairs

NETWORK = VRNConfig.compact().replace(resolution=32, slices=20)


@pytest.mark.parametrize(
    ("faces", "network", "num_workers", "message"),
    [
        ([1, 2, 4], NETWORK, 1, "one of the val faces for each of 1 workers, got 0; give more"),
        (range(NUM_FACES), NETWORK, 3, "val faces for each of 3 workers, got 2"),
        (range(NUM_FACES), NETWORK, (1, 3), "val faces for each of 3 workers, got 2"),
        (range(NUM_FACES), HeadConfig(resolution=32), 1, "targets of kind head"),
        (range(NUM_FACES), VRNConfig.compact(), 1, "crops of 96 px.* got 32 x 32 px"),
    ],
)
def test_pairs_that_cannot_be_trained_on_are_refused(
    tmp_path: Path, faces: Any, network: Any, num_workers: Any, message: str
) -> None:
    data = write_pairs(tmp_path / "pairs", [face(index) for index in faces])
    config = FinetuneConfig(data=data, model="", num_workers=num_workers)
    with pytest.raises(RequestError, match=message):
        require_pairs(config, network)


def test_pairs_that_fit_are_accepted(tmp_path: Path) -> None:
    data = write_pairs(tmp_path / "pairs", [face(index) for index in range(NUM_FACES)])
    for network in (NETWORK, UNetConfig(resolution=32)):
        require_pairs(FinetuneConfig(data=data, model="", num_workers=2), network)


def test_slopes_are_refused_for_networks_without_volumes(tmp_path: Path) -> None:
    data = write_pairs(tmp_path / "pairs", [face(index) for index in range(NUM_FACES)])
    config = FinetuneConfig(data=data, model="", depth_gradient=0.1)
    require_pairs(config, NETWORK)
    with pytest.raises(RequestError, match="depth_gradient: expected 0 for HeadConfig"):
        require_pairs(config, HeadConfig(resolution=32))


@pytest.mark.egl
def test_truth_is_checked_for_every_worker(synthetic_set: str, tmp_path: Path) -> None:
    config = PretrainConfig(data=synthetic_set, output=str(tmp_path), val_fraction=0.3)
    for network in (VRNConfig.compact(), UNetConfig(), HeadConfig()):
        require_truth(config, network)
    with pytest.raises(RequestError, match="photos for each of 20 workers, got"):
        require_truth(config.replace(num_workers=20), VRNConfig.compact())
    with pytest.raises(RequestError, match=r"crops of 192 px.* got 96 x 96 px"):
        require_truth(config, VRNConfig())
