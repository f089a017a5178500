"""One bootstrap round as a whole."""

from pydantic import Field

from rayboot.config import FrozenConfig
from rayboot.evaluate.config import EvaluateConfig
from rayboot.pipeline.config import GenerateConfig
from rayboot.registry.names import BUILTIN_COMPACT
from rayboot.rounds.gate import GateConfig
from rayboot.train.config import OptimizerConfig

__all__ = ["RoundConfig", "RoundTraining"]


class RoundTraining(FrozenConfig):
    """Fine-tuning within a round; data, weights and folders follow from the round."""

    optimizer: OptimizerConfig = OptimizerConfig()
    source_share: float = Field(0.0, ge=0, lt=1)
    num_workers: int = Field(1, ge=1)
    use_gpu: bool = False
    cpus_per_worker: float = Field(1.0, gt=0)


class RoundConfig(FrozenConfig):
    """Generate, fine-tune, evaluate, gate, register."""

    photos: str | tuple[str, ...]
    """URI, or several, of the photographs to learn from."""
    evaluation: EvaluateConfig
    """Faces with known shape, on which before and after are compared."""
    output: str
    """Local folder of everything the round writes."""
    model: str = BUILTIN_COMPACT
    """Whom to improve: a weights file, ``builtin:compact`` or ``models:/NAME/VERSION``."""
    generate: GenerateConfig = GenerateConfig()
    finetune: RoundTraining = RoundTraining()
    gate: GateConfig = GateConfig()
    tracking_uri: str | None = None
    """MLflow's; None is a SQLite store in the output folder."""
    experiment: str = "rayboot"
    registered_model: str = "rayboot-vrn"
    num_cpus: int | None = Field(None, ge=1)
    """That a Ray started here offers; None: what the machine has."""
