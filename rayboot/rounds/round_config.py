"""Config of one bootstrap round."""

import os
from pathlib import Path

from pydantic import Field

from rayboot.config import FrozenConfig, ModelName, Uri
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
    """Settings of a round: generate, fine-tune, evaluate, check drift, gate, register."""

    photos: Uri | tuple[Uri, ...]
    """URI, or several, of the photos to bootstrap from."""
    evaluation: MeasureConfig
    """Data sets with known shape on which the network is compared before and after; the gate uses
    the first data set."""
    output: Uri
    """Local folder that everything of the round is written to."""
    storage: Uri | None = None
    """Folder or URI of pairs and checkpoints, which all nodes read and write. None is ``output``,
    for a single machine or a volume that every node mounts there."""
    model: ModelName = BUILTIN_COMPACT
    """Network to improve: a weights file, ``builtin:compact`` or ``models:/NAME/VERSION``."""
    generate: GenerateConfig = GenerateConfig()
    """How pairs are generated; input, output and model follow from the round."""
    angles: AnglesConfig | None = None
    """How to choose the yaw steps from the network's disagreement with its own rotated shapes.
    None: the yaw steps of ``generate.views`` are used."""
    finetune: FinetuneSettings = FinetuneSettings()
    """Training settings; data, weights and folders follow from the round."""
    gate: GateConfig = GateConfig()
    """Conditions on the errors under which the candidate becomes the champion."""
    drift: DriftConfig = DriftConfig()
    """Limits on how far the candidate's shapes may drift from the teacher's."""
    first_teacher: ModelName | None = None
    """Network whose shape statistics are the reference for drift; None: the network to improve."""
    tracking_uri: str | None = None
    """URI of the MLflow store; None is ``MLFLOW_TRACKING_URI`` where that is set, or a SQLite store
    in the output folder."""
    experiment: str = "rayboot"
    """Name of the MLflow experiment."""
    registered_model: str = "rayboot-vrn"
    """Name of the registered model whose versions the rounds add."""
    num_cpus: int | None = Field(None, ge=1)
    """Number of CPUs of a Ray instance that the round starts; None: all of the machine's."""

    @property
    def pairs_uri(self) -> str:
        """URI of the pairs data set that the round generates."""
        return join_uri(self.storage or self.output, "pairs")

    @property
    def training_uri(self) -> str:
        """URI of the training checkpoints."""
        return join_uri(self.storage or self.output, "training")

    def with_absolute_paths(self) -> "RoundConfig":
        """Returns the config with absolute folders, for other processes, and an explicit store."""
        output = Path(self.output).expanduser().resolve()
        storage = self.storage
        if storage is not None and "://" not in storage:
            storage = str(Path(storage).expanduser().resolve())
        local_store = f"sqlite:///{output / 'mlflow.db'}"
        tracking_uri = self.tracking_uri or os.environ.get("MLFLOW_TRACKING_URI") or local_store
        return self.replace(
            output=str(output), storage=storage, tracking_uri=absolute_tracking_uri(tracking_uri)
        )
