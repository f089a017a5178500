"""One part of the GPU check: what it receives, what it returns, and why it may be skipped."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from rayboot.errors import RaybootError

__all__ = ["PartRecord", "PartSkippedError", "Workload"]


class PartSkippedError(RaybootError):
    """This machine lacks what a part needs; the message says what."""


@dataclass(frozen=True)
class Workload:
    """Amount of work of every part; the CPU gets a small one that ends within the limits.

    Attributes:
        device: ``cuda`` or ``cpu``, on which networks run.
        inputs: folder of synthetic faces, made beforehand by ``rayboot synthesize``.
        full_size: whether networks have the size of the released VRN-Unguided instead of the
            shipped compact one's.
        forward_batches: batch sizes of the forward pass.
        train_batch: batch size of training steps.
        train_steps: number of training steps.
        renderers: numbers of concurrent rendering processes.
        num_photos: number of photos that become pairs.
        num_faces: number of faces that are evaluated.
    """

    device: str
    inputs: Path
    full_size: bool
    forward_batches: tuple[int, ...]
    train_batch: int
    train_steps: int
    renderers: tuple[int, ...]
    num_photos: int
    num_faces: int

    @classmethod
    def for_device(cls, device: str, inputs: Path) -> "Workload":
        """Returns the amount of work for a device."""
        if device == "cuda":
            return cls(device, inputs, True, (16, 64, 256), 64, 20, (1, 4, 16), 96, 32)
        return cls(device, inputs, False, (4,), 4, 3, (1, 2), 8, 4)

    def require_gpu(self) -> None:
        """Refuses where networks run on the CPU.

        Raises:
            PartSkippedError: there is no GPU.
        """
        if self.device != "cuda":
            raise PartSkippedError("PyTorch finds no CUDA GPU")

    def require_inputs(self) -> str:
        """Returns the folder of faces.

        Raises:
            PartSkippedError: it does not exist.
        """
        if not (self.inputs / "truth").is_dir():
            raise PartSkippedError(
                f"{self.inputs} holds no synthetic faces: rayboot synthesize --config "
                f"configs/synthesize-gpu-check.yaml --output {self.inputs}"
            )
        return str(self.inputs)


@dataclass(frozen=True)
class PartRecord:
    """Outcome of a part.

    Attributes:
        name: name of the part.
        status: ``ok``, ``skipped`` or ``FAILED``.
        seconds: duration, process start included.
        reason: why it was skipped or failed; empty otherwise.
        values: what it measured, JSON values.
    """

    name: str
    status: Literal["ok", "skipped", "FAILED"]
    seconds: float
    reason: str = ""
    values: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Returns the record as a JSON object."""
        return asdict(self)
