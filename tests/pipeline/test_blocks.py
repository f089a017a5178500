from typing import Any

import pyarrow as pa
import pytest
import ray.data

from rayboot.pipeline.blocks import ROWS_PER_BLOCK, cut_into_blocks, rows_per_block
from rayboot.pipeline.generate_config import PoolConfig

COMPACT, FULL = (96, 96, 96), (200, 192, 192)


@pytest.mark.parametrize(
    ("num_photos", "renderers", "shape", "rows"),
    [
        (24, 2, COMPACT, 32),
        (200_000, 2, COMPACT, 32),
        (200_000, 1000, COMPACT, 32),  # larger blocks would leave actors idle at the end
        (1_000_000, 1000, COMPACT, 64),
        (10_000_000, 1000, COMPACT, 256),
        (10_000_000, 1000, FULL, 64),  # Ray would split larger blocks
        (100_000_000, 14, COMPACT, 256),
    ],
)
def test_blocks_grow_with_actors_and_photos(
    num_photos: int, renderers: int, shape: tuple[int, int, int], rows: int
) -> None:
    assert rows_per_block(num_photos, PoolConfig(num_render_actors=renderers), shape) == rows


def test_blocks_contain_every_row_once(ray_local: Any) -> None:
    count = 3 * ROWS_PER_BLOCK + 5
    tables = [
        pa.table({"face_id": [str(i) for i in rows]}) for rows in (range(40), range(40, count))
    ]
    listing = cut_into_blocks(ray.data.from_arrow(tables), ROWS_PER_BLOCK, 0.1)
    blocks = [bundle.num_rows() for bundle in listing.iter_internal_ref_bundles()]
    assert sorted(blocks) == [5, 32, 32, 32]
    assert {row["face_id"] for row in listing.take_all()} == {str(i) for i in range(count)}
