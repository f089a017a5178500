"""The state of a training, as a checkpoint stores it."""

import contextlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from rayboot.models import Reconstructor
from rayboot.train.training_config import OptimizerConfig

__all__ = ["EpochRecord", "TrainState", "load_position"]


def load_position(path: Path) -> dict[str, Any]:
    """Returns a :meth:`TrainState.position` from a file, on the CPU.

    A file remembers the device of each tensor. Whoever reads it may have no GPU (the head of a
    cluster, a training that resumes on CPUs), and many ranks that read one file would all load it
    onto its first GPU. :meth:`TrainState.restore` copies the values to the device of the network.
    """
    position: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return position


class EpochRecord(NamedTuple):
    """Metrics of one epoch.

    Attributes:
        epoch: number of the epoch, from 0.
        learning_rate: learning rate of the epoch.
        train_loss: mean loss of the epoch's steps, as the network defines it.
        val_loss: mean loss on the validation samples.
        val_iou: mean intersection over union on the validation samples.
        waited: fraction of the time for which the device waited for a batch, since the start of
            the epoch or of the process.
    """

    epoch: int
    learning_rate: float
    train_loss: float
    val_loss: float
    val_iou: float
    waited: float


class TrainState:
    """A network and its optimizer at a position of the training.

    Args:
        network: network on its device.
        config: settings of the optimizer.
        forward: function that calls the network, where it is wrapped for several workers; by
            default the network itself.
    """

    def __init__(
        self,
        network: Reconstructor,
        config: OptimizerConfig,
        forward: Callable[..., torch.Tensor] | None = None,
    ) -> None:
        # Channels last is twice as fast on a CPU, and on a GPU in bfloat16.
        self.network: Reconstructor = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.forward = forward or network
        self.config = config
        # Without weight decay it is Adam.
        self.optimizer = torch.optim.AdamW(
            network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        self.next_epoch, self.next_step = 0, 0
        self.losses: list[float] = []
        """Losses of the current epoch's steps."""
        self.epochs: list[EpochRecord] = []
        """Records of the completed epochs."""
        self._average: AveragedModel | None = None
        if config.ema_decay:
            average = get_ema_multi_avg_fn(config.ema_decay)
            # Buffers are averaged too: they hold the statistics of batch normalisation.
            self._average = AveragedModel(network, multi_avg_fn=average, use_buffers=True)

    @property
    def device(self) -> torch.device:
        """Device of the network."""
        device: torch.device = next(self.network.parameters()).device
        return device

    @property
    def result(self) -> Reconstructor:
        """Network to validate and to save: the moving average of the steps, if there is one."""
        if self._average is None:
            return self.network
        averaged = self._average.module
        assert isinstance(averaged, Reconstructor)
        return averaged

    def without_exchange(self) -> AbstractContextManager[None]:
        """Returns a context whose backward passes leave gradients on their own worker."""
        no_sync = getattr(self.forward, "no_sync", contextlib.nullcontext)
        context: AbstractContextManager[None] = no_sync()
        return context

    def after_step(self) -> None:
        """Updates the moving average; to be called after each step of the optimizer."""
        if self._average is not None:
            self._average.update_parameters(self.network)

    def position(self) -> dict[str, Any]:
        """Returns everything but the weights of :attr:`result`, for :func:`torch.save`."""
        averaged = {}
        if self._average is not None:
            averaged = {
                "weights": self.network.state_dict(),
                "count": self._average.n_averaged,
            }
        return {
            "optimizer": self.optimizer.state_dict(),
            "next": (self.next_epoch, self.next_step),
            "losses": self.losses,
            "epochs": [tuple(record) for record in self.epochs],
            "averaged": averaged,
        }

    def restore(self, position: dict[str, Any], result: dict[str, torch.Tensor]) -> None:
        """Resumes at a position.

        Args:
            position: return value of :meth:`position`.
            result: state dict of :attr:`result` at that position.
        """
        self.result.load_state_dict(result)
        if self._average is not None:
            self.network.load_state_dict(position["averaged"]["weights"])
            self._average.n_averaged.copy_(position["averaged"]["count"])
        self.optimizer.load_state_dict(position["optimizer"])
        self.next_epoch, self.next_step = position["next"]
        self.losses = list(position["losses"])
        self.epochs = [EpochRecord(*record) for record in position["epochs"]]
