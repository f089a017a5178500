import numpy as np
import pytest

from rayboot.data.subsets import evenly_spaced


def test_first_and_last_are_included() -> None:
    assert evenly_spaced(101, 5).tolist() == [0, 25, 50, 75, 100]


@pytest.mark.parametrize(("total", "count"), [(0, 3), (1, 3), (3, 3), (3, 10)])
def test_all_items_of_a_small_collection_are_chosen(total: int, count: int) -> None:
    assert evenly_spaced(total, count).tolist() == list(range(total))


def test_no_index_repeats() -> None:
    for total in range(1, 60):
        for count in range(1, 60):
            indices = evenly_spaced(total, count)
            assert len(indices) == min(total, count)
            assert np.all(np.diff(indices) > 0)
