"""What the workers of a training have to know of it: the network, the samples, the objective."""

from abc import ABC, abstractmethod

import torch

from rayboot.models import Reconstructor
from rayboot.train.objective import Objective
from rayboot.train.sample_store import SampleStore
from rayboot.train.training_config import TrainingConfig

__all__ = ["TrainingTask"]


class TrainingTask(ABC):
    """A training; the driver pickles it, and every worker calls its methods.

    It contains settings and references only: each worker reads its samples itself.

    Attributes:
        title: text before the progress bar.
        config: settings of the run.
    """

    title: str
    config: TrainingConfig

    @abstractmethod
    def make_network(self) -> Reconstructor:
        """Returns the network as it is before training, on the CPU."""

    @abstractmethod
    def read_samples(
        self, network: Reconstructor, rank: int, num_workers: int
    ) -> tuple[SampleStore, SampleStore]:
        """Reads a worker's training samples and its part of the validation samples.

        Args:
            network: network to train.
            rank: rank of the worker.
            num_workers: number of workers of the run.

        Raises:
            RequestError: there is no sample for this worker.
        """

    def select_samples(self, network: Reconstructor, train: SampleStore) -> SampleStore:
        """Selects and weighs training samples by the network before training, on its device."""
        return train

    def make_objective(self, device: torch.device) -> Objective:
        """Returns the function that a step minimises; by default the network's loss."""
        return Objective(depth_gradient=self.config.depth_gradient)
