"""Error of the predicted surface by band of yaw, on the validation faces.

The reference is the teacher's own reconstruction of the unrotated photo, transformed to the
view. So the error serves to monitor a run, not to be reported as a result.
"""

from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from scipy.spatial import cKDTree

from rayboot.errors import DegenerateInputError
from rayboot.geometry.isosurface import extract_surface
from rayboot.models import Reconstructor
from rayboot.models.device_transfer import HostCopy, open_side_stream
from rayboot.models.precision import autocast
from rayboot.train.prefetch import read_ahead
from rayboot.train.sample_store import SampleStore
from rayboot.train.training_config import OptimizerConfig

__all__ = ["surface_errors"]

_BANDS_DEG = ((0, 30), (30, 60), (60, 90))
_FACES_PER_BAND = 8
"""Largest number of faces that are measured in a band, evenly spaced over the samples."""

_EYE_DISTANCE = 0.29
"""Outer eye distance of the usual crop, as a fraction of its width; that of the photos is not
known."""


@torch.no_grad()
def surface_errors(
    network: Reconstructor, val: SampleStore, config: OptimizerConfig
) -> dict[str, float]:
    """Computes ``val_nme/LOW_to_HIGH``, mean distance from target surface to predicted surface.

    Args:
        network: network on its device.
        val: validation samples.
        config: precision of the prediction.

    Returns:
        Error in % of the usual outer eye distance, without alignment, for each band of |yaw|,
        degrees, that contains a face.
    """
    bands = dict[str, np.ndarray]()
    for low, high in _BANDS_DEG:
        yaws = np.abs(val.yaws_deg)
        in_band = np.flatnonzero((yaws >= low) & (yaws < high) & ~val.is_source)
        if len(in_band):
            chosen = np.unique(np.linspace(0, len(in_band) - 1, _FACES_PER_BAND).astype(int))
            bands[f"val_nme/{low}_to_{high}"] = in_band[chosen]
    errors = {}
    for name, volumes in zip(bands, _predict(network, val, [*bands.values()], config), strict=True):
        error = _mean_error(volumes, val.shape[2])
        if np.isfinite(error):
            errors[name] = error
    return errors


class _Volumes(NamedTuple):
    """Shapes of a batch, which are on their way to the host.

    Attributes:
        target: (B, D, S, S) volumes to learn.
        predicted: (B, D, S, S) volumes of the network.
    """

    target: HostCopy
    predicted: HostCopy


def _predict(
    network: Reconstructor, val: SampleStore, batches: list[np.ndarray], config: OptimizerConfig
) -> Iterator[_Volumes]:
    """Yields the volumes of each batch when those of the next one are queued on the device."""
    device = next(network.parameters()).device
    network.eval()
    copies, queued = open_side_stream(device), deque[_Volumes]()
    for batch, _ in read_ahead(network, val, batches, device):
        with autocast(device, config.precision):
            prediction = network(batch.images, raw=True)
        target = HostCopy(network.target_volumes(batch.targets).float(), copies)
        queued.append(_Volumes(target, HostCopy(network.occupancy(prediction).float(), copies)))
        if len(queued) > 1:
            yield queued.popleft()
    yield from queued


def _mean_error(volumes: _Volumes, crop_size: int) -> float:
    """Mean surface distance, % of the usual eye distance; not finite without a surface."""
    pairs = zip(volumes.target.result(), volumes.predicted.result(), strict=True)
    distances = [_surface_distance(target, predicted) for target, predicted in pairs]
    known = [distance for distance in distances if np.isfinite(distance)]
    return 100 * float(np.mean(known)) / (_EYE_DISTANCE * crop_size) if known else np.nan


def _surface_distance(target: np.ndarray, predicted: np.ndarray) -> float:
    """Mean distance, px, from every 7th vertex of the target to the predicted vertices."""
    try:
        target_surface, predicted_surface = extract_surface(target), extract_surface(predicted)
    except DegenerateInputError:
        return np.nan
    distances, _ = cKDTree(predicted_surface.vertices).query(target_surface.vertices[::7])
    return float(distances.mean())
