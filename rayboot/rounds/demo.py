"""The demo: one whole round on made faces, at a size for two CPU cores."""

from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from rayboot.config import FrozenConfig, parse_config
from rayboot.evaluate.datasets.synthetic import SyntheticDataset
from rayboot.evaluate.evaluation_config import MeasureConfig
from rayboot.io.storage import exists, join_uri, require_writable
from rayboot.pipeline.generate_config import GenerateConfig
from rayboot.pipeline.synthesize import synthesize
from rayboot.rounds.drift import DriftConfig
from rayboot.rounds.gate import GateConfig
from rayboot.rounds.round import RoundResult, run_round
from rayboot.rounds.round_config import RoundConfig
from rayboot.synthesis import SynthesisConfig
from rayboot.train.training_config import FinetuneSettings

__all__ = ["SET", "DemoConfig", "demo_config", "make_faces", "run_demo"]

SET = "made faces"
"""Name of the faces to measure on."""


class DemoConfig(FrozenConfig):
    """Faces to make, and the round that learns from them."""

    photos: SynthesisConfig
    """To learn from: near-frontal; of their truth the round sees nothing."""
    test_photos: SynthesisConfig
    """To measure on, at every yaw; other identities."""
    generate: GenerateConfig = GenerateConfig()
    finetune: FinetuneSettings = FinetuneSettings()
    gate: GateConfig = GateConfig()
    drift: DriftConfig = DriftConfig()
    evaluation: dict[str, Any] = {}
    """Fields of :class:`MeasureConfig`, its sets apart."""

    def round_config(self, out: Path) -> RoundConfig:
        """The round in the folder ``out``."""
        test_photos = SyntheticDataset(data=str(out / "test-photos"))
        return RoundConfig(
            photos=str(out / "photos"),
            evaluation=MeasureConfig(datasets={SET: test_photos}, **self.evaluation),
            output=str(out / "round"),
            # Whatever server the environment names: a demo is on this machine alone.
            tracking_uri=f"sqlite:///{(out / 'round').resolve() / 'mlflow.db'}",
            generate=self.generate,
            finetune=self.finetune,
            gate=self.gate,
            drift=self.drift,
            experiment="rayboot-demo",
        )


def demo_config(seed: int = 0) -> DemoConfig:
    """The demo's embedded config; ``seed`` moves every seed in it."""
    text = resources.files("rayboot.rounds").joinpath("demo.yaml").read_text("utf-8")
    config = parse_config(DemoConfig, yaml.safe_load(text), source="the demo's embedded config")
    optimizer = config.finetune.optimizer
    return config.replace(
        photos=config.photos.replace(seed=config.photos.seed + seed),
        test_photos=config.test_photos.replace(seed=config.test_photos.seed + seed),
        finetune=config.finetune.replace(optimizer=optimizer.replace(seed=optimizer.seed + seed)),
    )


def run_demo(out: Path, config: DemoConfig | None = None) -> RoundResult:
    """Makes the faces and runs the round; goes on where a former call stopped.

    Args:
        out: folder of everything.
        config: by default the embedded one.

    Raises:
        RequestError: ``out`` cannot be written, or holds another round.
    """
    config = config or demo_config()
    make_faces(out, config)
    return run_round(config.round_config(out))


def make_faces(out: Path, config: DemoConfig) -> None:
    """Synthesises the photos and the test photos below ``out``, unless they are there."""
    require_writable(str(out))
    for name, faces in (("photos", config.photos), ("test-photos", config.test_photos)):
        uri = str(out / name)
        # The triangles are written last.
        if not exists(join_uri(uri, "truth/topology.npz")):
            synthesize(faces, uri)
