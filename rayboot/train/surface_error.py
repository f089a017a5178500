"""Error of the predicted surface by band of yaw, on the validation faces.

The reference is the teacher's own reconstruction of the unrotated photo, transformed to the
view. So the error serves to monitor a run, not to be reported as a result.
"""

import numpy as np
import torch
from scipy.spatial import cKDTree

from rayboot.errors import DegenerateInputError
from rayboot.geometry.isosurface import extract_surface
from rayboot.models import Reconstructor
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
    errors = {}
    for low, high in _BANDS_DEG:
        yaws = np.abs(val.yaws_deg)
        in_band = np.flatnonzero((yaws >= low) & (yaws < high) & ~val.is_source)
        if len(in_band) == 0:
            continue
        chosen = np.unique(np.linspace(0, len(in_band) - 1, _FACES_PER_BAND).astype(int))
        error = _mean_error(network, val, in_band[chosen], config)
        if np.isfinite(error):
            errors[f"val_nme/{low}_to_{high}"] = error
    return errors


def _mean_error(
    network: Reconstructor, val: SampleStore, indices: np.ndarray, config: OptimizerConfig
) -> float:
    device = next(network.parameters()).device
    network.eval()
    distances = []
    for batch, _ in read_ahead(network, val, [indices], device):
        with autocast(device, config.precision):
            prediction = network(batch.images, raw=True)
        target_volumes = network.target_volumes(batch.targets).float().cpu().numpy()
        predicted_volumes = network.occupancy(prediction).float().cpu().numpy()
        distances += [
            _surface_distance(target, predicted)
            for target, predicted in zip(target_volumes, predicted_volumes, strict=True)
        ]
    known = [distance for distance in distances if np.isfinite(distance)]
    return 100 * float(np.mean(known)) / (_EYE_DISTANCE * val.shape[2]) if known else np.nan


def _surface_distance(target: np.ndarray, predicted: np.ndarray) -> float:
    """Mean distance, px, from every 7th vertex of the target to the predicted vertices."""
    try:
        target_surface, predicted_surface = extract_surface(target), extract_surface(predicted)
    except DegenerateInputError:
        return np.nan
    distances, _ = cKDTree(predicted_surface.vertices).query(target_surface.vertices[::7])
    return float(distances.mean())
