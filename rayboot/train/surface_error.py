"""Error of the surface by where the face looks, on faces that training does not see.

The truth is the network's own reconstruction of the unrotated photo, turned: a figure to
watch a run by, not one to report.
"""

import numpy as np
import torch
from scipy.spatial import cKDTree

from rayboot.errors import DegenerateInputError
from rayboot.geometry.isosurface import extract_surface
from rayboot.models import Reconstructor
from rayboot.models.precision import autocast
from rayboot.train.prefetch import read_ahead, to_device
from rayboot.train.sample_store import SampleStore
from rayboot.train.training_config import OptimizerConfig

__all__ = ["surface_errors"]

_BANDS_DEG = ((0, 30), (30, 60), (60, 90))
_MOST_FACES = 8
"""Of a band, spread over the samples."""

_EYE_DISTANCE = 0.29
"""Outer eye distance of the usual crop, share of its width; the photos' own is not known."""


@torch.no_grad()
def surface_errors(
    network: Reconstructor, val: SampleStore, config: OptimizerConfig
) -> dict[str, float]:
    """``val_nme/LOW_to_HIGH``: mean distance from the target's surface to the predicted one.

    Args:
        network: on its device.
        val: samples to validate on.
        config: its precision is used.

    Returns:
        In % of the usual outer eye distance, without alignment, for each band of |yaw|,
        degrees, that has a face.
    """
    found = {}
    for low, high in _BANDS_DEG:
        yaws = np.abs(val.yaws_deg)
        places = np.flatnonzero((yaws >= low) & (yaws < high) & ~val.is_source)
        if len(places) == 0:
            continue
        picks = np.unique(np.linspace(0, len(places) - 1, _MOST_FACES).astype(int))
        error = _mean_error(network, val, places[picks], config)
        if np.isfinite(error):
            found[f"val_nme/{low}_to_{high}"] = error
    return found


def _mean_error(
    network: Reconstructor, val: SampleStore, indices: np.ndarray, config: OptimizerConfig
) -> float:
    device = next(network.parameters()).device
    network.eval()
    errors = []
    for batch, _ in read_ahead(val, [indices]):
        images, targets = to_device(network, batch, device)
        with autocast(device, config.precision):
            estimate = network(images, raw=True)
        truths = network.target_volumes(targets).float().cpu().numpy()
        shapes = network.occupancy(estimate).float().cpu().numpy()
        errors += [_distance(truth, shape) for truth, shape in zip(truths, shapes, strict=True)]
    known = [error for error in errors if np.isfinite(error)]
    return 100 * float(np.mean(known)) / (_EYE_DISTANCE * val.shape[2]) if known else np.nan


def _distance(truth: np.ndarray, shape: np.ndarray) -> float:
    """Mean distance, px, from the vertices of one volume's surface to those of the other's."""
    try:
        wanted, found = extract_surface(truth), extract_surface(shape)
    except DegenerateInputError:
        return np.nan
    distances, _ = cKDTree(found.vertices).query(wanted.vertices[::7])
    return float(distances.mean())
