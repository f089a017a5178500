"""Evaluation of the shipped network on faces whose shape is known."""

import time
from typing import Any

import numpy as np

from rayboot.diagnostics.gpu.part import Workload
from rayboot.evaluate.datasets.synthetic import SyntheticDataset
from rayboot.evaluate.evaluation_config import MeasureConfig
from rayboot.evaluate.measure_faces import MeasureFaces
from rayboot.models import load_network
from rayboot.registry.model_names import BUILTIN_COMPACT
from rayboot.registry.resolve import resolve_model

__all__ = ["measure_evaluation"]


def measure_evaluation(workload: Workload) -> dict[str, Any]:
    """Returns faces per second and the median error, % of the outer eye distance.

    Raises:
        PartSkippedError: the synthetic faces are missing.
        AssertionError: a face has no error.
    """
    dataset = SyntheticDataset(data=workload.require_inputs())
    listed = dataset.list_faces().rows.slice(0, workload.num_faces)
    config = MeasureConfig(datasets={"synthetic": dataset})
    network = load_network(resolve_model(BUILTIN_COMPACT).path, workload.device)
    measure = MeasureFaces({"compact": network}, config, "synthetic")
    started = time.monotonic()
    rows = measure(listed)
    seconds = time.monotonic() - started
    errors = np.array(rows["nme_icp"].to_pylist(), float)
    if not np.isfinite(errors).all():
        raise AssertionError(f"{np.isnan(errors).sum()} of {len(errors)} faces have no error")
    return {
        "faces": len(errors),
        "faces_per_s": round(len(errors) / seconds, 2),
        "median_nme_percent": round(100 * float(np.median(errors)), 2),
    }
