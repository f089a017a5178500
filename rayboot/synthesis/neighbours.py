"""Averages over neighbouring vertices of the head model."""

from functools import cache

import numpy as np
from scipy import sparse

from rayboot.geometry.head_model import load_head_model

__all__ = ["neighbour_mean"]


@cache
def neighbour_mean() -> sparse.csr_array:
    """Returns the matrix (N, N) that averages every vertex of the head with its neighbours."""
    model = load_head_model()
    count = len(model.mean)
    edges = np.concatenate([model.faces[:, pair] for pair in ([0, 1], [1, 2], [2, 0])])
    rows, columns = np.concatenate([edges, edges[:, ::-1]]).T
    links = sparse.csr_array((np.ones(len(rows)), (rows, columns)), shape=(count, count)) > 0
    links = links.astype(np.float64) + sparse.eye_array(count)
    return sparse.csr_array(sparse.diags_array(1 / links.sum(axis=1)) @ links)
