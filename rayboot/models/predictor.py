"""Inference: photos in bytes to shapes, in batches of one fixed size."""

import contextlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch

from rayboot.errors import ShapeError
from rayboot.models.compression import mean_of_cells, pack_bits
from rayboot.models.device_transfer import HostCopy, send
from rayboot.models.network_config import InferenceConfig
from rayboot.models.precision import autocast
from rayboot.models.reconstructor import Reconstructor

__all__ = ["CompressedVolumes", "Predictor"]


class CompressedVolumes(NamedTuple):
    """Shapes as later stages need them.

    Attributes:
        bits: (N, D, S, S / 8) uint8, :func:`~rayboot.models.compression.pack_bits`.
        cells: (N, D', S', S') uint8, :func:`~rayboot.models.compression.mean_of_cells`.
        targets: what :meth:`~rayboot.models.reconstructor.Reconstructor.encode` keeps of each;
            None where the bits are the target.
    """

    bits: np.ndarray
    cells: np.ndarray
    targets: list[bytes | None]


class Predictor:
    """A network with its device and settings.

    Args:
        network: on its device.
        config: of the fast path.
        batch_size: every forward pass has exactly this many images: convolutions
            change in the last bits with the batch, and a photo's result may not depend
            on its companions.
    """

    def __init__(self, network: Reconstructor, config: InferenceConfig, batch_size: int) -> None:
        self._device = next(network.parameters()).device
        if config.num_threads is not None and self._device.type == "cpu":
            torch.set_num_threads(config.num_threads)
        if config.channels_last:
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._config, self._batch_size = config, batch_size
        self._network = network.eval()
        self._size = network.config.resolution
        self._forward: Callable[..., torch.Tensor] = network
        if config.compile and self._device.type == "cuda":
            self._forward = torch.compile(network)

    @torch.inference_mode()
    def predict(self, images: np.ndarray) -> np.ndarray:
        """Occupancy (N, D, S, S) float32 of images (N, S, S, 3) uint8 RGB.

        Raises:
            ShapeError: the images are not uint8 of that shape.
        """
        volumes = [
            self._network.occupancy(estimate).float().cpu().numpy()
            for estimate in self._batches(images)
        ]
        if not volumes:
            size = self._size
            return np.zeros((0, self._network.config.slices, size, size), np.float32)
        return np.concatenate(volumes)

    @torch.inference_mode()
    def predict_compressed(
        self, images: np.ndarray, isovalue: float, cell: int
    ) -> CompressedVolumes:
        """The same volumes as bits and as means of cells.

        Args:
            images: (N, S, S, 3) uint8 RGB, N at least 1.
            isovalue: voxels at or above it are set.
            cell: edge of a cell, px; 0 for voxels.
        """
        # One volume at a time where that keeps it in the processor's cache.
        at_once = 1 if self._device.type == "cpu" else self._batch_size
        bits, cells, targets = [], [], list[bytes | None]()
        for estimate in self._batches(images):
            targets += self._network.encode(estimate) or [None] * len(estimate)
            for part in estimate.split(at_once):
                volumes = self._network.occupancy(part)
                bits.append(HostCopy(pack_bits(volumes, isovalue)))
                cells.append(HostCopy(mean_of_cells(volumes, cell)))
        # Asked for when all batches are under way: a GPU computes one while it hands over another.
        return CompressedVolumes(_joined(bits), _joined(cells), targets)

    def _batches(self, images: np.ndarray) -> Iterator[torch.Tensor]:
        size, step = self._size, self._batch_size
        if images.dtype != np.uint8 or images.shape[1:] != (size, size, 3):
            raise ShapeError(
                f"images must be uint8 (N, {size}, {size}, 3), got {images.dtype} {images.shape}"
            )
        for start in range(0, len(images), step):
            yield self._run(images[start : start + step])

    def _run(self, images: np.ndarray) -> torch.Tensor:
        padded = np.zeros((self._batch_size, *images.shape[1:]), np.uint8)
        padded[: len(images)] = images
        # Bytes in NHWC, seen as NCHW, are channels-last already.
        tensor = send(padded, self._device).permute(0, 3, 1, 2).float().div_(255)
        if not self._config.channels_last:
            tensor = tensor.contiguous()
        with torch.inference_mode(), contextlib.ExitStack() as stack:
            stack.enter_context(autocast(self._device, self._config.precision))
            return self._forward(tensor, raw=True)[: len(images)]


def _joined(parts: list[HostCopy]) -> np.ndarray:
    return np.concatenate([part.result() for part in parts])
