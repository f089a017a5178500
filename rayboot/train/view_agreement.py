"""Where the network, shown its own render, disagrees with the turned shape.

The paper's section 3.1: the bootstrap finds by itself where the network is weak. The
disagreement is also largest where a render or a pose went wrong; such views can be left
out, or count less.
"""

import numpy as np

from rayboot.models import Reconstructor
from rayboot.train.loop import overlaps
from rayboot.train.sample_store import SampleStore
from rayboot.train.training_config import FinetuneConfig

__all__ = ["sift_views", "weigh_views"]


def sift_views(network: Reconstructor, store: SampleStore, config: FinetuneConfig) -> SampleStore:
    """Samples without the views that the network disagrees with most, and with weights.

    Unrotated photos stay, with the weight 1.

    Args:
        network: before training, on its device.
        store: a worker's samples.
        config: of the run.
    """
    if not config.leave_out and not config.agreement_power:
        return store
    views = np.flatnonzero(~store.own)
    agreement = overlaps(network, store, views, config.optimizer)
    kept, weights = weigh_views(agreement, config.leave_out, config.agreement_power)
    all_weights = np.ones(len(store), np.float32)
    all_weights[views] = weights
    taking_part = store.own.copy()
    taking_part[views[kept]] = True
    chosen = np.flatnonzero(taking_part)
    return store.take(chosen, all_weights[chosen])


def weigh_views(
    agreement: np.ndarray, leave_out: float, power: float
) -> tuple[np.ndarray, np.ndarray]:
    """Which views take part, and how much each counts.

    Args:
        agreement: (N,) intersection over union.
        leave_out: share of the views, those that agree least.
        power: of the agreement; 0 is all alike.

    Returns:
        (N,) bool, and (N,) float32 whose mean over those that take part is 1.
    """
    count = int(leave_out * len(agreement))
    kept = np.ones(len(agreement), bool)
    kept[np.argsort(agreement, kind="stable")[:count]] = False
    weights = np.maximum(agreement, 1e-6) ** power
    return kept, (weights / weights[kept].mean()).astype(np.float32)
