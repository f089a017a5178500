from pathlib import Path

import pytest

from rayboot.errors import RequestError
from rayboot.rounds.round_state import RoundState, save_state
from rayboot.rounds.status import describe_rounds, watch_rounds

BEGUN = RoundState(config_digest="a" * 64, model="builtin:compact", run_id="r")


def test_every_round_is_described_with_its_steps(tmp_path: Path) -> None:
    save_state(tmp_path / "photos/round-1", BEGUN.replace(
        seconds=dict.fromkeys(("generate", "finetune", "evaluate", "drift", "register"), 7.2),
        version="3", promoted=True, reason="profiles -20 %"))  # fmt: skip
    save_state(tmp_path / "photos/round-2", BEGUN.replace(
        model="models:/m/3", seconds={"generate": 61.0}, under_way="finetune"))  # fmt: skip
    text = describe_rounds(tmp_path)
    first, second = text.split(str(tmp_path / "photos/round-2"))
    assert "teacher builtin:compact" in first
    assert "version 3, the champion: profiles -20 %" in first
    assert "report to do" in first
    assert "teacher models:/m/3" in second
    assert "generate 61 s, finetune running or interrupted, evaluate to do" in second


def test_a_folder_without_a_round_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="contains no round"):
        describe_rounds(tmp_path)


def test_rounds_are_watched_until_none_is_unfinished(tmp_path: Path) -> None:
    output = tmp_path / "round-1"
    done = dict.fromkeys(("generate", "finetune", "evaluate", "drift", "register"), 7.0)
    save_state(output, BEGUN.replace(seconds=done, under_way="report"))
    texts = watch_rounds(tmp_path, interval_s=0, with_elapsed=True)
    first = next(texts)
    assert "report running or interrupted, begun 0 s ago" in first
    assert next(texts).splitlines()[:2] == first.splitlines()[:2]
    save_state(output, BEGUN.replace(seconds={**done, "report": 3.0}))
    (last,) = texts
    assert "report 3 s" in last
    with pytest.raises(RequestError, match="contains no round"):
        next(watch_rounds(tmp_path / "elsewhere"))
