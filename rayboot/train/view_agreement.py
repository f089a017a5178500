"""Where the network, shown its own render, disagrees with the turned shape.

The paper's section 3.1: the bootstrap finds by itself where the network is weak. The
disagreement is also largest where a render or a pose went wrong; such views can be left
out, or count less.
"""

import numpy as np

from rayboot.models import Reconstructor
from rayboot.train.loop import ious
from rayboot.train.sample_store import SampleStore
from rayboot.train.training_config import FinetuneConfig

__all__ = ["filter_views", "weight_views"]


def filter_views(network: Reconstructor, store: SampleStore, config: FinetuneConfig) -> SampleStore:
    """Samples without the views that the network disagrees with most, and with weights.

    Unrotated photos stay, with the weight 1.

    Args:
        network: before training, on its device.
        store: a worker's samples.
        config: of the run.
    """
    if not config.discard_fraction and not config.agreement_power:
        return store
    views = np.flatnonzero(~store.is_source)
    agreement = ious(network, store, views, config.optimizer)
    kept, weights = weight_views(agreement, config.discard_fraction, config.agreement_power)
    all_weights = np.ones(len(store), np.float32)
    all_weights[views] = weights
    taking_part = store.is_source.copy()
    taking_part[views[kept]] = True
    chosen = np.flatnonzero(taking_part)
    return store.take(chosen, all_weights[chosen])


def weight_views(
    agreement: np.ndarray, discard_fraction: float, power: float
) -> tuple[np.ndarray, np.ndarray]:
    """Which views take part, and how much each counts.

    Args:
        agreement: (N,) intersection over union.
        discard_fraction: share of the views, those that agree least.
        power: of the agreement; 0 is all alike.

    Returns:
        (N,) bool, and (N,) float32 whose mean over those that take part is 1.
    """
    count = int(discard_fraction * len(agreement))
    kept = np.ones(len(agreement), bool)
    kept[np.argsort(agreement, kind="stable")[:count]] = False
    weights = np.maximum(agreement, 1e-6) ** power
    return kept, (weights / weights[kept].mean()).astype(np.float32)
