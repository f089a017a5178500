"""docs/guides/own-network.md does what it says, block by block, but for long runs."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from rayboot.evaluate.evaluation_config import EvaluateConfig
from rayboot.models.weights import NETWORK_KINDS
from rayboot.pipeline.generate import generate
from rayboot.pipeline.generate_config import GenerateConfig
from rayboot.pipeline.generate_request import prepare_generate
from rayboot.pipeline.in_process_executor import InProcessExecutor

ROOT = Path(__file__).resolve().parents[2]
GUIDE = ROOT / "docs/guides/own-network.md"

NOT_RUN = ("rayboot synthesize", "rayboot configs copy", "rayboot evaluate")
"""Beginnings of the shell blocks that synthesise hundreds of faces, train for hours, or start Ray;
of the last, the config is checked."""

pytestmark = [
    pytest.mark.egl,
    # The package webdataset leaves its files to the garbage collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture
def folder(synthetic_set: str, tmp_path: Path) -> Path:
    """A folder with what the guide names: faces of known shape, and a pairs data set."""
    (tmp_path / "faces").symlink_to(synthetic_set)
    config = GenerateConfig(
        input=synthetic_set,
        output=str(tmp_path / "pairs"),
        model="builtin:compact",
        val_fraction=0.3,
    )
    generate(prepare_generate(config), InProcessExecutor())
    return tmp_path


def test_every_block_of_the_guide_runs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setitem(NETWORK_KINDS, "plain_config", NETWORK_KINDS["vrn_config"])  # and restored
    names: dict[str, Any] = {}
    num_run = 0
    for language, text in _blocks():
        if language == "yaml":
            assert EvaluateConfig.model_validate(yaml.safe_load(text)).output == "evaluation"
        elif language == "sh" and not text.startswith(NOT_RUN):
            command = [sys.executable, "-m", *text.split()]
            environment = {**os.environ, "PYTHONPATH": str(ROOT)}
            subprocess.run(command, cwd=folder, env=environment, check=True)
            num_run += 1
        elif language == "python":
            exec(compile(text, str(GUIDE), "exec"), names)  # noqa: S102
            num_run += 1
    assert num_run == 5

    assert len(names["errors"]) == 24 and 0.01 < names["np"].mean([*names["errors"].values()]) < 0.1
    # The network of the guide has learned what faces have in common, from a few photos.
    print(f"intersection over union {names['before']:.2f}, then {names['after']:.2f}")
    assert names["after"] > 0.4 > 2 * names["before"]
    assert names["occupancy"].any() and isinstance(names["yaw_deg"], float)


def _blocks() -> list[tuple[str, str]]:
    """Returns language and text of each block of code."""
    text = GUIDE.read_text("utf-8")
    return re.findall(r"^```(\w+)\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
