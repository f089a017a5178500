"""Size of the blocks in which Ray Data moves, writes and checkpoints photos.

A block costs Ray's driver the same time and memory whatever it contains, and its output is
written to files of its own. Large blocks keep both costs small; but a run ends when its last
block does, so each actor needs many blocks.
"""

from typing import TYPE_CHECKING

import pyarrow as pa

from rayboot.pipeline.generate_config import PoolConfig

if TYPE_CHECKING:
    from ray.data import Dataset

__all__ = [
    "ROWS_PER_BLOCK",
    "WRITE_CPUS",
    "cut_into_blocks",
    "max_render_actors",
    "rows_per_block",
]

ROWS_PER_BLOCK = 32
"""Rows of a block where neither many actors nor many photos require larger ones."""

WRITE_CPUS = 0.5
"""CPUs of a task that writes a block; it spends most of its time waiting for the store. On a
machine with two free CPUs, a task that requested a whole one would only start after a resumed
run's filter has read the whole listing."""

_MAX_ROWS = 256
_MAX_BYTES = 2**27
"""Upper limit on the size of a block; Ray Data would split a larger one in two."""

_MAX_BLOCKS = 400_000
"""Upper limit that the driver's memory sets: each block occupies some 15 kB there
(docs/results/throughput.md)."""

_MIN_BLOCKS_PER_ACTOR = 8
_MIN_ROWS_PER_ACTOR = 2
"""Rows of a block for each render actor, so that the driver keeps up: a photo takes a renderer
some 100 ms, a block takes the driver 10 to 40 ms."""


def rows_per_block(num_photos: int, pools: PoolConfig, shape: tuple[int, int, int]) -> int:
    """Returns the number of rows of a block, a power of two so that batches fill it.

    Args:
        num_photos: number of photos of the run.
        pools: actor pools of the run.
        shape: (D, H, W) of the network's volume, the largest item in a block.
    """
    actors = pools.num_render_actors
    lower_limit = max(actors * _MIN_ROWS_PER_ACTOR, num_photos / _MAX_BLOCKS)
    # A shape is passed on as its packed bits, and as its surface cells of about the same size.
    max_rows_in_memory = _MAX_BYTES / (shape[0] * shape[1] * shape[2] / 4)
    upper_limit = min(max_rows_in_memory, num_photos / (_MIN_BLOCKS_PER_ACTOR * actors), _MAX_ROWS)
    rows = ROWS_PER_BLOCK
    while rows < lower_limit and 2 * rows <= upper_limit:
        rows *= 2
    return rows


def max_render_actors(num_photos: int, num_rows: int) -> int:
    """Returns the number of render actors for which a run has enough blocks of ``num_rows``."""
    return num_photos // (_MIN_BLOCKS_PER_ACTOR * num_rows)


def cut_into_blocks(listing: "Dataset", num_rows: int, num_cpus: float) -> "Dataset":
    """Repartitions listed photos into blocks of ``num_rows``, lazily.

    Args:
        listing: photos in blocks of any size.
        num_rows: number of rows of each block but the last.
        num_cpus: CPUs of a task that repartitions.
    """
    # Ray's `repartition(num_blocks)` holds all blocks in memory before it emits the first. This
    # form takes a whole CPU, unless it is fused with an operator that declares its CPUs.
    declared = listing.map_batches(
        _identity,
        batch_size=num_rows,
        batch_format="pyarrow",
        zero_copy_batch=True,
        num_cpus=num_cpus,
    )
    return declared.repartition(target_num_rows_per_block=num_rows, strict=True)


def _identity(batch: pa.Table) -> pa.Table:
    return batch
