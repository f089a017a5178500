"""What an evaluation compares, on which faces, and how."""

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from rayboot.config import FormerKey, FrozenConfig
from rayboot.evaluate.datasets import AnyDataset
from rayboot.evaluate.protocol import Protocol

__all__ = ["EvaluateConfig", "MeasureConfig"]


class MeasureConfig(FrozenConfig):
    """Faces whose shape is known, and how shapes are measured on them."""

    former_keys: ClassVar[Mapping[str, FormerKey]] = {"sets": FormerKey("datasets")}

    datasets: dict[str, AnyDataset] = Field(min_length=1)
    """Name in tables to set of faces; ``kind`` says of which kind it is."""
    protocol: Protocol = Protocol()
    bands: tuple[tuple[float, float], ...] = ((0, 15), (15, 30), (30, 45), (45, 60), (60, 90))
    """Bands of |yaw|, degrees, both ends included."""
    num_actors: PositiveInt = 2
    cpus_per_actor: PositiveFloat = 0.9
    gpus_per_actor: float = Field(0.0, ge=0)
    batch_size: PositiveInt = 16

    @model_validator(mode="after")
    def _names_are_plain(self) -> "MeasureConfig":
        _require_plain(self.datasets, "datasets")
        return self


class EvaluateConfig(MeasureConfig):
    """Models compared on sets of faces."""

    models: dict[str, str] = {}
    """Name in tables to model: a weights file, ``builtin:compact`` or ``models:/NAME/VERSION``. The
    first is what the others are compared with."""
    output: str | None = None
    """Local folder of rows, tables, plots and page."""
    tracking_uri: str | None = None
    """Where the evaluation is recorded as an MLflow run, and ``models:/`` names are looked up; None
    is MLflow's own setting for names, and no run."""
    experiment: str = "rayboot"

    @model_validator(mode="after")
    def _models_are_plain(self) -> "EvaluateConfig":
        _require_plain(self.models, "models")
        return self


def _require_plain(names: dict, field: str) -> None:
    """Names become parts of file names."""
    for name in names:
        if not name or "/" in name or name.startswith("."):
            raise ValueError(f"{field}: {name!r} must be a name without slashes or a leading dot")
