"""One bootstrap round as a whole."""

import os
from pathlib import Path

from pydantic import Field

from rayboot.config import FrozenConfig
from rayboot.evaluate.evaluation_config import MeasureConfig
from rayboot.io.storage import join_uri
from rayboot.pipeline.generate_config import GenerateConfig
from rayboot.registry.model_names import BUILTIN_COMPACT
from rayboot.registry.runs import absolute_tracking_uri
from rayboot.rounds.drift import DriftConfig
from rayboot.rounds.gate import GateConfig
from rayboot.rounds.view_angles import AnglesConfig
from rayboot.train.training_config import FinetuneSettings

__all__ = ["RoundConfig"]


class RoundConfig(FrozenConfig):
    """Generate, fine-tune, evaluate, watch for drift, gate, register."""

    photos: str | tuple[str, ...]
    """URI, or several, of the photographs to learn from."""
    evaluation: MeasureConfig
    """Faces with known shape, on which before and after are compared; the gate looks at the first
    set."""
    output: str
    """Local folder of everything the round writes."""
    storage: str | None = None
    """Where pairs and checkpoints are kept, which all nodes read and write: a folder or a URI. None
    is ``output``, for a single machine or a volume that every node sees there."""
    model: str = BUILTIN_COMPACT
    """Whom to improve: a weights file, ``builtin:compact`` or ``models:/NAME/VERSION``."""
    generate: GenerateConfig = GenerateConfig()
    angles: AnglesConfig | None = None
    """Choose the turns in yaw from where the network disagrees with its own turned shapes,
    instead of ``generate.views``' own; None leaves those."""
    finetune: FinetuneSettings = FinetuneSettings()
    """Data, weights and folders follow from the round."""
    gate: GateConfig = GateConfig()
    drift: DriftConfig = DriftConfig()
    first_teacher: str | None = None
    """The network whose shapes are the healthy range; None: the one to improve."""
    tracking_uri: str | None = None
    """MLflow's; None is ``MLFLOW_TRACKING_URI`` where that is set, or a SQLite store in the output
    folder."""
    experiment: str = "rayboot"
    registered_model: str = "rayboot-vrn"
    num_cpus: int | None = Field(None, ge=1)
    """That a Ray started here offers; None: what the machine has."""

    @property
    def pairs_uri(self) -> str:
        """Of the data set that the round makes."""
        return join_uri(self.storage or self.output, "pairs")

    @property
    def training_uri(self) -> str:
        """Of the checkpoints."""
        return join_uri(self.storage or self.output, "training")

    def with_absolute_paths(self) -> "RoundConfig":
        """The same with folders absolute, for processes elsewhere, and the tracking store named."""
        output = Path(self.output).expanduser().resolve()
        storage = self.storage
        if storage is not None and "://" not in storage:
            storage = str(Path(storage).expanduser().resolve())
        own = f"sqlite:///{output / 'mlflow.db'}"
        tracking_uri = self.tracking_uri or os.environ.get("MLFLOW_TRACKING_URI") or own
        return self.replace(
            output=str(output), storage=storage, tracking_uri=absolute_tracking_uri(tracking_uri)
        )
