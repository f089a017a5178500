"""Today's commands on a round of version 0.1: status, trace and preview."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from rayboot.cli import main
from rayboot.rounds.round_state import read_state


def run_command(version_0_1: Path, *arguments: str) -> str:
    """The stdout of a command that uses the MLflow store of version 0.1."""
    environment = {"MLFLOW_TRACKING_URI": f"sqlite:///{version_0_1 / 'round/mlflow.db'}"}
    done = CliRunner().invoke(main, arguments, env=environment)
    assert done.exit_code == 0, done.output
    return done.stdout


def face_ids(pairs: Path, outcome: str) -> Sequence[str]:
    ids: list[str] = pq.read_table(pairs / f"outcome={outcome}", columns=["face_id"])[
        "face_id"
    ].to_pylist()
    return ids


def test_the_state_of_a_round_is_read(version_0_1: Path) -> None:
    state = read_state(version_0_1 / "round")
    assert state is not None
    assert (state.model, state.version, state.promoted) == ("tiny.safetensors", "1", False)


def test_status_describes_a_round_and_its_champion(version_0_1: Path) -> None:
    text = run_command(version_0_1, "status", str(version_0_1))
    assert str(version_0_1 / "round") in text
    assert "teacher tiny.safetensors" in text
    assert "generate 99 s, finetune 261 s, evaluate 183 s, drift 2 s, register 5 s" in text
    assert "version 1, not promoted: no face in the profile band or at the front" in text
    assert "models:/rayboot-vrn/1  champion" in text


@pytest.mark.parametrize("uri", ["models:/rayboot-vrn/1", "models:/rayboot-vrn@champion"])
def test_trace_describes_the_provenance_of_a_version(version_0_1: Path, uri: str) -> None:
    text = run_command(version_0_1, "trace", uri)
    pairs = version_0_1 / "round/pairs"
    assert "model       models:/rayboot-vrn/1, champion" in text
    assert "teacher     tiny.safetensors" in text
    assert f"data set    {pairs}" in text
    assert f"{len(face_ids(pairs, 'face'))} faces" in text


def test_trace_finds_a_photo_and_the_version_trained_on_it(version_0_1: Path) -> None:
    pairs = version_0_1 / "round/pairs"
    face_id = face_ids(pairs, "face")[0]
    text = run_command(version_0_1, "trace", face_id)
    assert f"data set  {pairs}  face {face_id} in outcome=face/" in text
    assert "trained   models:/rayboot-vrn/1, champion" in text


@pytest.mark.parametrize("name", ["pairs.html", "pairs.png"])
def test_preview_shows_the_pairs(version_0_1: Path, tmp_path: Path, name: str) -> None:
    out = tmp_path / name
    text = run_command(version_0_1, "preview", str(version_0_1 / "round/pairs"), "--out", str(out))
    assert text.strip() == str(out)
    assert out.stat().st_size > 10_000
