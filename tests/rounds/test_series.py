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


class Rounds:
    """Stands for ``run_round``: notes what it was asked for, and says who is promoted."""

    def __init__(self, promoted: list[bool]) -> None:
        self.promoted, self.asked = promoted, list[RoundConfig]()

    def __call__(self, config: RoundConfig) -> Any:
        self.asked.append(config)
        number = len(self.asked)

        class Result:
            version, promoted, reason = str(10 + number), self.promoted[number - 1], "because"

        return Result()


@pytest.fixture
def config(tmp_path: Path) -> RoundConfig:
    evaluation = MeasureConfig(datasets={"faces": SyntheticDataset(data="faces")})
    return RoundConfig(photos="photos", evaluation=evaluation, output=str(tmp_path / "series"))


def test_each_champion_teaches_the_next_round(
    config: RoundConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds = Rounds([True, True, True])
    monkeypatch.setattr(series, "run_round", rounds)
    assert len(run_rounds(config, 3)) == 3
    assert [asked.model for asked in rounds.asked] == [
        "builtin:compact",
        "models:/rayboot-vrn/11",
        "models:/rayboot-vrn/12",
    ]
    assert [asked.generate.round_index for asked in rounds.asked] == [0, 1, 2]
    assert {asked.first_teacher for asked in rounds.asked} == {"builtin:compact"}
    assert [Path(asked.output).name for asked in rounds.asked] == ["round-1", "round-2", "round-3"]
    # One store, so that versions count up.
    assert len({asked.tracking_uri for asked in rounds.asked}) == 1


def test_a_round_that_does_not_help_is_the_last(
    config: RoundConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds = Rounds([True, False, True])
    monkeypatch.setattr(series, "run_round", rounds)
    results = run_rounds(config, 3)
    assert [result.promoted for result in results] == [True, False]


def test_the_first_teacher_is_pinned_for_good(
    config: RoundConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config.replace(model="models:/faces@champion")
    now = ["models:/faces/7"]
    builtin = resolve_model("builtin:compact")
    monkeypatch.setattr(
        series, "resolve_model", lambda model, uri: dataclasses.replace(builtin, uri=now[0])
    )
    for version in ("models:/faces/7", "models:/faces/8"):
        now[0] = version
        rounds = Rounds([False])
        monkeypatch.setattr(series, "run_round", rounds)
        run_rounds(config, 1)
        assert rounds.asked[0].model == "models:/faces/7"
