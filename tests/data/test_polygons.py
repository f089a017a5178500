import numpy as np

from rayboot.data.polygons import split_polygons, split_strips


def test_polygons_fan_out_in_their_order() -> None:
    polygons = [[0, 1, 2], [3, 4, 5, 6], [9, 8], [0, 1, 2, 3, 4], [7, 8, 9]]
    expected = [[0, 1, 2], [3, 4, 5], [3, 5, 6], [0, 1, 2], [0, 2, 3], [0, 3, 4], [7, 8, 9]]
    assert split_polygons(polygons).tolist() == expected
    assert split_polygons(np.array([[1, 2, 3, 4]])).tolist() == [[1, 2, 3], [1, 3, 4]]
    assert split_polygons([]).shape == split_polygons([[1, 2]]).shape == (0, 3)


def test_every_second_triangle_of_a_strip_is_turned() -> None:
    strips = [np.array([0, 1, 2, 3, -1, 4, 5, 6]), np.array([7, 8])]
    assert split_strips(strips).tolist() == [[0, 1, 2], [2, 1, 3], [4, 5, 6]]
    joined = np.array([0, 1, 2, 2, 3, 3, 4, 5])
    assert split_strips([joined]).tolist() == [[0, 1, 2], [4, 3, 5]]
    assert split_strips([]).shape == (0, 3)
