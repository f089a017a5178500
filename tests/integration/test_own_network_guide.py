"""docs/guides/own-network.md does what it says, block by block."""

import re
from pathlib import Path

import pytest
import yaml

from rayboot.evaluate.evaluation_config import EvaluateConfig
from rayboot.models.weights import NETWORK_KINDS
from rayboot.pipeline.generate import generate
from rayboot.pipeline.generate_config import GenerateConfig
from rayboot.pipeline.generate_request import prepare_generate
from rayboot.pipeline.in_process_executor import InProcessExecutor
from tests.docs_blocks import ROOT, find_blocks, run_blocks

GUIDE = ROOT / "docs/guides/own-network.md"

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
    monkeypatch.setitem(NETWORK_KINDS, "plain_config", NETWORK_KINDS["vrn_config"])  # and restored
    (config,) = re.findall(
        r"^```yaml\n(.*?)^```", GUIDE.read_text("utf-8"), re.DOTALL | re.MULTILINE
    )
    assert EvaluateConfig.model_validate(yaml.safe_load(config)).output == "evaluation"
    blocks = [block for block in find_blocks(GUIDE) if block.reason is None]
    assert len(blocks) == 5
    names = run_blocks(blocks, folder, monkeypatch, in_process=True)

    assert len(names["errors"]) == 24 and 0.01 < names["np"].mean([*names["errors"].values()]) < 0.1
    # The network of the guide has learned what faces have in common, from a few photos.
    print(f"intersection over union {names['before']:.2f}, then {names['after']:.2f}")
    assert names["after"] > 0.4 > 2 * names["before"]
    assert names["occupancy"].any() and isinstance(names["yaw_deg"], float)
