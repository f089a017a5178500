"""Inference: uint8 crops to volumes, in batches of one fixed size."""

import contextlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch

from rayboot.errors import ShapeError
from rayboot.models.compilation import compile_on_gpu
from rayboot.models.compression import coarsen_volumes, pack_bits
from rayboot.models.device_transfer import HostCopy, open_side_stream, to_device_async
from rayboot.models.network_config import InferenceConfig
from rayboot.models.precision import autocast
from rayboot.models.reconstructor import Reconstructor
from rayboot.models.soft_occupancy import measure_columns

__all__ = ["CompressedVolumes", "Predictor"]


class CompressedVolumes(NamedTuple):
    """Predicted shapes in the form that later stages need.

    Attributes:
        bits: (N, D, S, S / 8) uint8, :func:`~rayboot.models.compression.pack_bits`.
        cells: (N, D', S', S') uint8, :func:`~rayboot.models.compression.coarsen_volumes`.
        targets: training target of each shape as encoded by
            :meth:`~rayboot.models.reconstructor.Reconstructor.encode`; None where the bits or the
            depth maps are the target.
        columns: (N, 3, h, w) float32, :func:`~rayboot.models.soft_occupancy.measure_columns`; None
            where the network has no surface field.
    """

    bits: np.ndarray
    cells: np.ndarray
    targets: list[bytes | None]
    columns: np.ndarray | None


class Predictor:
    """A network with its device and inference settings.

    Args:
        network: network on its device.
        config: inference settings.
        batch_size: number of images of every forward pass, padded if necessary: the last bits
            of convolutions depend on the batch size, and the result of a photo must not depend
            on the other photos.
    """

    def __init__(self, network: Reconstructor, config: InferenceConfig, batch_size: int) -> None:
        self._device = next(network.parameters()).device
        if config.num_threads is not None and self._device.type == "cpu":
            torch.set_num_threads(config.num_threads)
        if config.channels_last:
            # PyTorch's overloads of Module.to omit memory_format without a dtype.
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._config, self._batch_size = config, batch_size
        self._uploads = open_side_stream(self._device)
        self._downloads = open_side_stream(self._device)
        self._network = network.eval()
        self._size = network.config.resolution
        self._forward: Callable[..., torch.Tensor] = network
        if config.compile:
            self._forward = compile_on_gpu(network, self._device)

    def warm_up(self, isovalue: float, cell: int) -> None:
        """Runs one empty batch on a GPU: kernels are compiled and chosen, and memory allocated.

        On a CPU it does nothing: there a first batch takes hardly longer than the others.

        Args:
            isovalue: as in :meth:`predict_compressed`.
            cell: likewise.
        """
        if self._device.type == "cuda":
            empty = np.zeros((self._batch_size, self._size, self._size, 3), np.uint8)
            self.predict_compressed(empty, isovalue, cell)

    @torch.inference_mode()
    def predict(self, images: np.ndarray) -> np.ndarray:
        """Returns the occupancy (N, D, S, S) float32 of images (N, S, S, 3) uint8 RGB.

        Raises:
            ShapeError: the images are not uint8 of that shape.
        """
        return self.predict_with_targets(images)[0]

    @torch.inference_mode()
    def predict_with_targets(self, images: np.ndarray) -> tuple[np.ndarray, list[bytes | None]]:
        """Returns the volumes of :meth:`predict`, and what each estimate is encoded to.

        Returns:
            (N, D, S, S) float32, and N results of
            :meth:`~rayboot.models.reconstructor.Reconstructor.encode`, None where it has none.

        Raises:
            ShapeError: the images are not uint8 (N, S, S, 3).
        """
        volumes, targets = [], list[bytes | None]()
        for estimate in self._predict_batches(images):
            targets += self._network.encode(estimate) or [None] * len(estimate)
            # After it, because the occupancy may be computed in place.
            volumes.append(self._network.occupancy(estimate).float().cpu().numpy())
        shape = (0, self._network.config.slices, self._size, self._size)
        return np.concatenate([np.zeros(shape, np.float32), *volumes]), targets

    @torch.inference_mode()
    def predict_compressed(
        self, images: np.ndarray, isovalue: float, cell: int
    ) -> CompressedVolumes:
        """Returns the volumes of :meth:`predict` as bits and as means of cells.

        Args:
            images: (N, S, S, 3) uint8 RGB, N at least 1.
            isovalue: level at or above which a voxel's bit is set.
            cell: edge length of a cell, px; 0 stands for single voxels.

        Raises:
            ShapeError: the images are not uint8 of that shape.
        """
        # On a CPU one volume at a time, which then stays in the processor's cache.
        num_at_once = 1 if self._device.type == "cpu" else self._batch_size
        bits, cells, targets, columns = [], [], list[bytes | None](), []
        for estimate in self._predict_batches(images):
            targets += self._network.encode(estimate) or [None] * len(estimate)
            for part in estimate.split(num_at_once):
                # Before the occupancy, which may be computed in place.
                field = self._network.surface_field(part, isovalue)
                if field is not None:
                    columns.append(HostCopy(measure_columns(field), self._downloads))
                volumes = self._network.occupancy(part)
                bits.append(HostCopy(pack_bits(volumes, isovalue), self._downloads))
                cells.append(HostCopy(coarsen_volumes(volumes, cell), self._downloads))
        # Waiting starts when all batches are queued: a GPU computes one while it copies another.
        return CompressedVolumes(
            _concatenate(bits),
            _concatenate(cells),
            targets,
            _concatenate(columns) if columns else None,
        )

    def _predict_batches(self, images: np.ndarray) -> Iterator[torch.Tensor]:
        size, step = self._size, self._batch_size
        if images.dtype != np.uint8 or images.shape[1:] != (size, size, 3):
            raise ShapeError(
                f"images must be uint8 (N, {size}, {size}, 3), got {images.dtype} {images.shape}"
            )
        for start in range(0, len(images), step):
            yield self._predict_batch(images[start : start + step])

    def _predict_batch(self, images: np.ndarray) -> torch.Tensor:
        padded = np.zeros((self._batch_size, *images.shape[1:]), np.uint8)
        padded[: len(images)] = images
        # A permuted view of NHWC bytes is a channels-last NCHW tensor already.
        tensor = self._upload(padded).permute(0, 3, 1, 2).float().div_(255)
        if not self._config.channels_last:
            tensor = tensor.contiguous()
        with torch.inference_mode(), contextlib.ExitStack() as stack:
            stack.enter_context(autocast(self._device, self._config.precision))
            estimate = self._forward(tensor, raw=True)
            if self._config.average_mirrored:
                mirrored = self._forward(tensor.flip(-1), raw=True)
                estimate = (estimate + self._network.mirror(mirrored)) / 2
            return estimate[: len(images)]

    def _upload(self, images: np.ndarray) -> torch.Tensor:
        if self._uploads is None:
            return to_device_async(images, self._device)
        with self._uploads.queued():
            tensor = to_device_async(images, self._device)
        self._uploads.mark().before_next(tensor)
        return tensor


def _concatenate(copies: list[HostCopy]) -> np.ndarray:
    return np.concatenate([copy.result() for copy in copies])
