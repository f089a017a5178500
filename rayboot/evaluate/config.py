"""What an evaluation compares, on which faces."""

from typing import Literal

from pydantic import Field

from rayboot.config import FrozenConfig

__all__ = ["EvaluateConfig"]


class EvaluateConfig(FrozenConfig):
    """Models on a set of faces whose shape is known."""

    data: str
    """URI of a set written by ``rayboot synthesize``, or of a folder of AFLW2000-3D
    (photos with ``.mat`` beside them)."""
    kind: Literal["synthetic", "aflw2000"] = "synthetic"
    """``synthetic``: NME of the dense true face. ``aflw2000``: distance of its 68 3D
    landmarks to the reconstructed surface, since its dense truth is not free to ship."""
    models: dict[str, str] = {}
    """Name in tables to model: a weights file, ``builtin:compact`` or ``models:/NAME/VERSION``."""
    output: str | None = None
    """Local folder of tables, plots and page."""
    bands: tuple[tuple[float, float], ...] = ((0, 15), (15, 30), (30, 45), (45, 60), (60, 90))
    """Bands of |yaw|, degrees, both ends included."""
    num_actors: int = Field(2, ge=1)
    cpus_per_actor: float = Field(0.9, gt=0)
    batch_size: int = Field(16, ge=1)
