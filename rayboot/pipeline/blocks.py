"""Blocks: photos that Ray moves, writes and notes as finished together.

A block costs Ray's driver the same time and memory whatever it holds, and leaves files of its
own. Large ones keep both small; but a run ends when its last block does, so there must be many
for each actor.
"""

from typing import TYPE_CHECKING

import pyarrow as pa

from rayboot.pipeline.generate_config import PoolConfig

if TYPE_CHECKING:
    from ray.data import Dataset

__all__ = ["ROWS_PER_BLOCK", "WRITE_CPUS", "cut_into_blocks", "most_actors", "rows_per_block"]

ROWS_PER_BLOCK = 32
"""Of runs that neither many actors nor many photos make larger."""

WRITE_CPUS = 0.5
"""That a task takes which writes a block: it waits for the store most of the time. With a whole
one it would wait, where two are free, until a resumed run's filter has gone through the listing."""

_MOST_ROWS = 256
_MOST_BYTES = 2**27
"""Ray Data would cut a larger block in two."""

_MOST_BLOCKS = 400_000
"""For the driver's memory: each block leaves some 15 kB there (docs/generate.md)."""

_BLOCKS_AN_ACTOR = 8
_ROWS_AN_ACTOR = 2
"""That a block has for each renderer, so that the driver keeps up: a photo takes a renderer some
100 ms, a block the driver 10 to 40 ms."""


def rows_per_block(num_photos: int, pools: PoolConfig, shape: tuple[int, int, int]) -> int:
    """Photos of a block; a power of two, so that batches fill it.

    Args:
        num_photos: of the run.
        pools: of it.
        shape: (D, H, W) of the network's volume, the largest that a block holds.
    """
    actors = pools.num_render_actors
    wanted = max(actors * _ROWS_AN_ACTOR, num_photos / _MOST_BLOCKS)
    # A shape goes on as its bits, and as its surface's cells of about the same size.
    most = _MOST_BYTES / (shape[0] * shape[1] * shape[2] / 4)
    bound = min(most, num_photos / (_BLOCKS_AN_ACTOR * actors), _MOST_ROWS)
    rows = ROWS_PER_BLOCK
    while rows < wanted and 2 * rows <= bound:
        rows *= 2
    return rows


def most_actors(num_photos: int, num_rows: int) -> int:
    """Renderers for which a run has enough blocks of so many rows."""
    return num_photos // (_BLOCKS_AN_ACTOR * num_rows)


def cut_into_blocks(listing: "Dataset", num_rows: int, num_cpus: float) -> "Dataset":
    """Listed photos in blocks of so many, as they are asked for.

    Args:
        listing: of any blocks.
        num_rows: of each block but the last.
        num_cpus: that a task takes which cuts.
    """
    # Ray's `repartition(num_blocks)` holds all blocks at once before the first goes on. This
    # one takes a whole CPU, unless it is fused with a step that says what it takes.
    same = listing.map_batches(
        _same,
        batch_size=num_rows,
        batch_format="pyarrow",
        zero_copy_batch=True,
        num_cpus=num_cpus,
    )
    return same.repartition(target_num_rows_per_block=num_rows, strict=True)


def _same(batch: pa.Table) -> pa.Table:
    return batch
