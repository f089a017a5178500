"""How far a training is: what a checkpoint holds."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from rayboot.models import Reconstructor
from rayboot.train.training_config import OptimizerConfig

__all__ = ["EpochRecord", "TrainState"]


class EpochRecord(NamedTuple):
    """Figures of one epoch; ``epoch`` counts from 0, losses are what the network minimises.

    ``waited`` is the share of the time that the device had to wait for a batch, since
    the epoch or the process began.
    """

    epoch: int
    learning_rate: float
    train_loss: float
    val_loss: float
    val_iou: float
    waited: float


class TrainState:
    """A network, its optimizer and how far they are.

    Args:
        network: on its device.
        config: of the optimizer.
        forward: calls the network, where it is wrapped to be trained by several workers.
    """

    def __init__(
        self,
        network: Reconstructor,
        config: OptimizerConfig,
        forward: Callable[..., torch.Tensor] | None = None,
    ) -> None:
        # Twice as fast on a CPU, and on a GPU in bfloat16.
        self.network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.forward = forward or network
        self.config = config
        self.optimizer = torch.optim.Adam(network.parameters(), lr=config.learning_rate)
        self.next_epoch, self.next_step = 0, 0
        self.losses: list[float] = []
        """Of this epoch's steps."""
        self.epochs: list[EpochRecord] = []
        """Those that ended."""
        self._average: AveragedModel | None = None
        if config.ema_decay:
            keep = get_ema_multi_avg_fn(config.ema_decay)
            # What batch normalisation has counted is averaged as well.
            self._average = AveragedModel(network, multi_avg_fn=keep, use_buffers=True)

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(self.network.parameters()).device

    @property
    def result(self) -> Reconstructor:
        """The network to validate and to keep: the average of its steps, where there is one."""
        if self._average is None:
            return self.network
        averaged = self._average.module
        assert isinstance(averaged, Reconstructor)
        return averaged

    def after_step(self) -> None:
        """To be called after each step of the optimizer."""
        if self._average is not None:
            self._average.update_parameters(self.network)

    def position(self) -> dict[str, Any]:
        """All but the weights of :attr:`result`, for :func:`torch.save`."""
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
        """Goes on from a position.

        Args:
            position: of :meth:`position`.
            result: state dict that :attr:`result` had.
        """
        self.result.load_state_dict(result)
        if self._average is not None:
            self.network.load_state_dict(position["averaged"]["weights"])
            self._average.n_averaged.copy_(position["averaged"]["count"])
        self.optimizer.load_state_dict(position["optimizer"])
        self.next_epoch, self.next_step = position["next"]
        self.losses = list(position["losses"])
        self.epochs = [EpochRecord(*record) for record in position["epochs"]]
