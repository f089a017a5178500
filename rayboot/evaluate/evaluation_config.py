"""Configs of an evaluation: which models are compared, on which datasets, by which protocol."""

from collections.abc import Iterable, Mapping
from typing import ClassVar

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from rayboot.config import FormerKey, FrozenConfig, ModelName, Uri
from rayboot.evaluate.datasets import AnyDataset
from rayboot.evaluate.protocol import Protocol

__all__ = ["EvaluateConfig", "MeasureConfig"]


class MeasureConfig(FrozenConfig):
    """Datasets with ground truth, and how errors are measured on them."""

    former_keys: ClassVar[Mapping[str, FormerKey]] = {"sets": FormerKey("datasets")}

    datasets: dict[str, AnyDataset] = Field(min_length=1)
    """Datasets by their name in tables; ``kind`` selects the type of a dataset."""
    protocol: Protocol = Protocol()
    """How errors are measured."""
    bands: tuple[tuple[float, float], ...] = ((0, 15), (15, 30), (30, 45), (45, 60), (60, 90))
    """Bands of |yaw|, degrees, both ends included."""
    num_actors: PositiveInt = 2
    """Number of Ray actors; each holds all models."""
    cpus_per_actor: PositiveFloat = 0.9
    """CPUs of each actor."""
    gpus_per_actor: float = Field(0.0, ge=0)
    """GPUs of each actor; 0 runs the models on the CPU."""
    batch_size: PositiveInt = 16
    """Number of faces that an actor measures in one call."""

    @model_validator(mode="after")
    def _require_dataset_file_names(self) -> "MeasureConfig":
        _require_file_names(self.datasets, "datasets")
        return self


class EvaluateConfig(MeasureConfig):
    """Models that are compared on datasets with ground truth."""

    models: dict[str, ModelName] = Field({})
    """Models by their name in tables: a weights file, ``builtin:compact`` or
    ``models:/NAME/VERSION``. The first is the reference that the others are compared with."""
    output: Uri | None = None
    """Local folder of the rows, tables, plots and the report."""
    tracking_uri: str | None = None
    """MLflow tracking URI where the evaluation is recorded as a run and ``models:/`` names are
    resolved. None: names are resolved by MLflow's own setting, and no run is recorded."""
    experiment: str = "rayboot"
    """MLflow experiment of the run."""

    @model_validator(mode="after")
    def _require_model_file_names(self) -> "EvaluateConfig":
        _require_file_names(self.models, "models")
        return self


def _require_file_names(names: Iterable[str], field: str) -> None:
    """Checks names that become parts of file names."""
    for name in names:
        if not name or "/" in name or name.startswith("."):
            raise ValueError(f"{field}: {name!r} must be a name without slashes or a leading dot")
