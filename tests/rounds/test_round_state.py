from pathlib import Path

import pytest

from rayboot.errors import RequestError
from rayboot.rounds.demo import demo_config
from rayboot.rounds.round_state import RoundState, load_state, save_state


def test_state_is_read_back(tmp_path: Path) -> None:
    state = RoundState(config_digest="a" * 64, model="builtin:compact", run_id="r")
    assert load_state(tmp_path, "a" * 64) is None
    save_state(tmp_path, state.replace(seconds={"generate": 3.5}, version="2"))
    loaded = load_state(tmp_path, "a" * 64)
    assert loaded is not None
    assert (loaded.version, loaded.seconds) == ("2", {"generate": 3.5})


def test_the_output_of_another_round_is_refused(tmp_path: Path) -> None:
    save_state(tmp_path, RoundState(config_digest="a" * 64, model="m", run_id="r"))
    with pytest.raises(RequestError, match="another config"):
        load_state(tmp_path, "b" * 64)


def test_the_demo_evaluates_on_other_faces_than_it_trains_on(tmp_path: Path) -> None:
    config = demo_config()
    train, test = config.photos, config.test_photos
    first, last = train.first_identity, train.first_identity + train.num_identities
    assert not first <= test.first_identity < last
    assert train.yaw.max_deg <= 15
    assert test.yaw.max_deg >= 60
    assert config.finetune.source_fraction > 0
    assert config.round_config(tmp_path).photos == str(tmp_path / "photos")


def test_all_seeds_of_the_demo_change_together() -> None:
    zero, one = demo_config(0), demo_config(1)
    assert zero.photos.seed + 1 == one.photos.seed
    assert zero.test_photos.seed + 1 == one.test_photos.seed
    assert zero.finetune.optimizer.seed + 1 == one.finetune.optimizer.seed
