"""Agreement of the network on a view with the transformed shape, to select and weigh views.

The paper's section 3.1: low agreement shows the bootstrap where the network is weak. Agreement
is lowest, however, where a render or a pose estimate went wrong; such views can be discarded
or given a lower weight.
"""

import numpy as np

from rayboot.models import Reconstructor
from rayboot.train.sample_store import SampleStore
from rayboot.train.training_config import FinetuneConfig
from rayboot.train.validation import ious

__all__ = ["filter_views", "weight_views"]


def filter_views(network: Reconstructor, store: SampleStore, config: FinetuneConfig) -> SampleStore:
    """Returns samples without the views of lowest agreement, with weights.

    Unrotated photos are kept, with the weight 1.

    Args:
        network: network before training, on its device.
        store: a worker's samples.
        config: settings of the run.
    """
    if not config.discard_fraction and not config.agreement_power:
        return store
    views = np.flatnonzero(~store.is_source)
    agreement = ious(network, store, views, config.optimizer)
    kept, view_weights = weight_views(agreement, config.discard_fraction, config.agreement_power)
    weights = np.ones(len(store), np.float32)
    weights[views] = view_weights
    selected = store.is_source.copy()
    selected[views[kept]] = True
    indices = np.flatnonzero(selected)
    return store.take(indices, weights[indices])


def weight_views(
    agreement: np.ndarray, discard_fraction: float, power: float
) -> tuple[np.ndarray, np.ndarray]:
    """Returns which views are kept, and their weights.

    Args:
        agreement: (N,) intersection over union.
        discard_fraction: fraction of the views to discard, those of lowest agreement.
        power: exponent of the agreement; 0 weighs all alike.

    Returns:
        (N,) bool, whether a view is kept, and (N,) float32 weights whose mean over the kept
        views is 1.
    """
    num_discarded = int(discard_fraction * len(agreement))
    kept = np.ones(len(agreement), bool)
    kept[np.argsort(agreement, kind="stable")[:num_discarded]] = False
    weights = np.maximum(agreement, 1e-6) ** power
    return kept, (weights / weights[kept].mean()).astype(np.float32)
