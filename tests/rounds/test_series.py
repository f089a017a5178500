import dataclasses
from pathlib import Path
from typing import Any

import pytest

from rayboot.evaluate.datasets.synthetic import SyntheticDataset
from rayboot.evaluate.evaluation_config import MeasureConfig
from rayboot.registry.resolve import resolve_model
from rayboot.rounds import series
from rayboot.rounds.round_config import RoundConfig
from rayboot.rounds.series import run_rounds


class FakeRounds:
    """Replaces ``run_prepared_round``: records configs, and decides which rounds are promoted."""

    def __init__(self, promoted: list[bool]) -> None:
        self.promoted, self.configs = promoted, list[RoundConfig]()

    def __call__(self, config: RoundConfig) -> Any:
        self.configs.append(config)
        number = len(self.configs)

        class Result:
            version, promoted, reason = str(10 + number), self.promoted[number - 1], "because"

        return Result()


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RoundConfig:
    monkeypatch.setattr(series, "prepare_round", lambda config: config)
    evaluation = MeasureConfig(datasets={"faces": SyntheticDataset(data="faces")})
    return RoundConfig(photos="photos", evaluation=evaluation, output=str(tmp_path / "series"))


def test_each_champion_is_the_teacher_of_the_next_round(
    config: RoundConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds = FakeRounds([True, True, True])
    monkeypatch.setattr(series, "run_prepared_round", rounds)
    assert len(run_rounds(config, 3)) == 3
    assert [round_config.model for round_config in rounds.configs] == [
        "builtin:compact",
        "models:/rayboot-vrn/11",
        "models:/rayboot-vrn/12",
    ]
    assert [round_config.generate.round_index for round_config in rounds.configs] == [0, 1, 2]
    assert {round_config.first_teacher for round_config in rounds.configs} == {"builtin:compact"}
    assert [Path(round_config.output).name for round_config in rounds.configs] == [
        "round-1",
        "round-2",
        "round-3",
    ]
    # One store, so that versions count up.
    assert len({round_config.tracking_uri for round_config in rounds.configs}) == 1


def test_the_series_ends_with_a_round_that_is_not_promoted(
    config: RoundConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds = FakeRounds([True, False, True])
    monkeypatch.setattr(series, "run_prepared_round", rounds)
    results = run_rounds(config, 3)
    assert [result.promoted for result in results] == [True, False]


def test_the_first_teacher_stays_pinned_when_a_series_is_resumed(
    config: RoundConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config.replace(model="models:/faces@champion")
    pinned = ["models:/faces/7"]
    builtin = resolve_model("builtin:compact")
    monkeypatch.setattr(
        series, "resolve_model", lambda model, uri: dataclasses.replace(builtin, uri=pinned[0])
    )
    for version in ("models:/faces/7", "models:/faces/8"):
        pinned[0] = version
        rounds = FakeRounds([False])
        monkeypatch.setattr(series, "run_prepared_round", rounds)
        run_rounds(config, 1)
        assert rounds.configs[0].model == "models:/faces/7"
