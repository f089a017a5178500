import numpy as np

from rayboot.geometry.head_model import load_head_model
from rayboot.synthesis.neighbours import neighbour_mean


def test_each_vertex_is_averaged_with_those_that_share_an_edge() -> None:
    model, matrix = load_head_model(), neighbour_mean()
    vertex = model.landmarks[30]
    neighbours = np.unique(model.faces[(model.faces == vertex).any(axis=1)])
    assert np.allclose((matrix @ model.mean)[vertex], model.mean[neighbours].mean(axis=0))


def test_constants_stay() -> None:
    count = len(load_head_model().mean)
    assert np.allclose(neighbour_mean() @ np.ones(count), 1)
