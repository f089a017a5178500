"""Every file in configs/ is accepted by the command that configs/README.md names for it."""

import re
from pathlib import Path

import pytest

from rayboot.config import FrozenConfig, load_config
from rayboot.evaluate.evaluation_config import EvaluateConfig
from rayboot.pipeline.export_request import ReconstructConfig
from rayboot.pipeline.generate_config import GenerateConfig
from rayboot.rounds.robustness import RobustnessConfig
from rayboot.rounds.round_config import RoundConfig
from rayboot.synthesis import SynthesisConfig
from rayboot.train.training_config import FinetuneConfig, PretrainConfig

CONFIGS = Path(__file__).resolve().parents[1] / "configs"
NAMES = sorted(path.name for path in CONFIGS.glob("*.yaml"))

# Class by the beginning of a file name.
CONFIG_TYPES: dict[str, type[FrozenConfig]] = {
    "evaluate-": EvaluateConfig,
    "finetune-": FinetuneConfig,
    "generate-": GenerateConfig,
    "paper.yaml": RoundConfig,
    "pretrain-": PretrainConfig,
    "reconstruct-": ReconstructConfig,
    "robustness": RobustnessConfig,
    "round-": RoundConfig,
    "synthesize-": SynthesisConfig,
}


@pytest.mark.parametrize("name", NAMES)
def test_a_config_is_accepted_by_its_command(name: str) -> None:
    (config_type,) = (
        config_type for start, config_type in CONFIG_TYPES.items() if name.startswith(start)
    )
    load_config(config_type, CONFIGS / name)


def test_all_configs_are_listed() -> None:
    listed = re.findall(r"`([\w-]+\.yaml)`", (CONFIGS / "README.md").read_text("utf-8"))
    assert set(listed) == set(NAMES)


def test_the_round_on_ls3d_w_is_the_papers() -> None:
    paper = load_config(RoundConfig, CONFIGS / "paper.yaml")
    cluster = load_config(RoundConfig, CONFIGS / "round-ls3d-w.yaml")
    # Locations and the sizes of pools may differ.
    assert cluster.evaluation.datasets.keys() == paper.evaluation.datasets.keys()
    same = {
        "photos": paper.photos,
        "output": paper.output,
        "storage": paper.storage,
        "model": paper.model,
        "tracking_uri": paper.tracking_uri,
        "evaluation": paper.evaluation,
        "generate": cluster.generate.replace(pools=paper.generate.pools),
        "finetune": cluster.finetune.replace(
            num_workers=paper.finetune.num_workers, max_failures=paper.finetune.max_failures
        ),
    }
    assert cluster.replace(**same) == paper
