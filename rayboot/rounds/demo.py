"""The demo: one whole round on synthetic faces, sized for two CPU cores."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field

from rayboot.cluster.session import connect
from rayboot.config import FrozenConfig, parse_config
from rayboot.data.ground_truth import has_topology
from rayboot.evaluate.datasets.synthetic import SyntheticDataset
from rayboot.evaluate.evaluation_config import MeasureConfig
from rayboot.io.storage import require_writable
from rayboot.pipeline.generate_config import GenerateConfig
from rayboot.pipeline.synthesize import synthesize
from rayboot.rounds.drift import DriftConfig
from rayboot.rounds.gate import GateConfig
from rayboot.rounds.round import RoundResult, run_round
from rayboot.rounds.round_config import RoundConfig
from rayboot.synthesis import SynthesisConfig
from rayboot.train.training_config import FinetuneSettings

__all__ = ["DATASET_NAME", "DemoConfig", "demo_config", "run_demo", "synthesize_demo_faces"]

DATASET_NAME = "synthetic faces"
"""Name of the evaluation data set in results and reports."""


class DemoConfig(FrozenConfig):
    """The synthetic faces of the demo, and the settings of its round."""

    photos: SynthesisConfig
    """Near-frontal photos to bootstrap from; the round never reads their ground truth."""
    test_photos: SynthesisConfig
    """Photos at every yaw to evaluate on; their identities differ from those of ``photos``."""
    generate: GenerateConfig = GenerateConfig()
    finetune: FinetuneSettings = FinetuneSettings()
    gate: GateConfig = GateConfig()
    drift: DriftConfig = DriftConfig()
    evaluation: dict[str, Any] = Field({})
    """Fields of :class:`MeasureConfig` except ``datasets``, which follows from the demo."""

    def round_config(self, out: Path) -> RoundConfig:
        """Returns the config of the round whose files are below the folder ``out``."""
        test_photos = SyntheticDataset(data=str(out / "test-photos"))
        return RoundConfig(
            photos=str(out / "photos"),
            evaluation=MeasureConfig(datasets={DATASET_NAME: test_photos}, **self.evaluation),
            output=str(out / "round"),
            # Set explicitly so that MLFLOW_TRACKING_URI is ignored: a demo stays on this machine.
            tracking_uri=f"sqlite:///{(out / 'round').resolve() / 'mlflow.db'}",
            generate=self.generate,
            finetune=self.finetune,
            gate=self.gate,
            drift=self.drift,
            experiment="rayboot-demo",
        )


def demo_config(seed: int = 0) -> DemoConfig:
    """Returns the demo's embedded config, with ``seed`` added to every seed in it."""
    text = resources.files("rayboot.rounds").joinpath("demo.yaml").read_text("utf-8")
    config = parse_config(DemoConfig, yaml.safe_load(text), source="the demo's embedded config")
    optimizer = config.finetune.optimizer
    return config.replace(
        photos=config.photos.replace(seed=config.photos.seed + seed),
        test_photos=config.test_photos.replace(seed=config.test_photos.seed + seed),
        finetune=config.finetune.replace(optimizer=optimizer.replace(seed=optimizer.seed + seed)),
    )


def run_demo(out: Path, config: DemoConfig | None = None) -> RoundResult:
    """Synthesises the faces and runs the round; resumes where an earlier call stopped.

    Args:
        out: folder that everything is written to.
        config: config of the demo; by default the embedded one.

    Raises:
        RequestError: ``out`` cannot be written, or contains another round.
    """
    config = config or demo_config()
    require_writable(str(out))
    # Ray is started once for both.
    with _own_registry(), connect():
        synthesize_demo_faces(out, config)
        return run_round(config.round_config(out))


@contextmanager
def _own_registry() -> Iterator[None]:
    """Ignores ``MLFLOW_REGISTRY_URI``: the versions of a demo are in its own store."""
    registry = os.environ.pop("MLFLOW_REGISTRY_URI", None)
    try:
        yield
    finally:
        if registry is not None:
            os.environ["MLFLOW_REGISTRY_URI"] = registry


def synthesize_demo_faces(out: Path, config: DemoConfig) -> None:
    """Synthesises the photos and the test photos below ``out``, unless they exist."""
    for name, faces in (("photos", config.photos), ("test-photos", config.test_photos)):
        uri = str(out / name)
        if not has_topology(uri):
            synthesize(faces, uri)
