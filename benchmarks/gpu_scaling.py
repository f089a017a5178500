"""Estimated scaling of ``generate`` on nodes with a GPU, from times that are partly assumed.

    python benchmarks/gpu_scaling.py

Nothing is run: what ``rayboot plan`` simulates after it has measured a sample is simulated here for
nodes of 16 cores and one GPU, packed photos in a bucket, and the network of the released size.
"""

import click

from rayboot.pipeline.generate_config import PoolConfig
from rayboot.pipeline.planning.capacity import Calibration, Node
from rayboot.pipeline.planning.limits import InputSpec
from rayboot.pipeline.planning.scaling import estimate, format_efficiency

_NODE = Node(cpus=16, gpus=1)
_NUM_NODES = (1, 2, 4, 8, 16, 32, 64)
_NUM_PHOTOS = (200_000, 1_000_000, 10_000_000, 100_000_000)

_CALIBRATION = Calibration(
    num_photos=256,
    num_faces=256,  # every photo becomes a face
    # Reading and rendering were measured on a core of an AMD EPYC; the network's are assumed.
    cpu_s={"read": 0.003, "reconstruct": 0.015, "turn": 0.120},
    busy_s={"read": 0.003, "reconstruct": 0.005, "turn": 0.120},
    on_gpu=True,
    start_s=60.0,  # assumed
    engine_rate=640.0,  # measured on two cores, in blocks of 32 photos
    write_s=0.3,  # assumed
    write_cpu_s=0.0,
    count_s=0.0,
    shape=(200, 192, 192),
)


@click.command()
def main() -> None:
    """Prints efficiency and hours by number of nodes and photos, and what limits each size."""
    by_size = {
        count: estimate(
            _CALIBRATION,
            InputSpec(count, packed=True, in_object_store=True),
            _NODE,
            _NUM_NODES,
            PoolConfig(reconstruct_gpus=1.0),
        )
        for count in _NUM_PHOTOS
    }
    click.echo(format_efficiency(by_size))
    for run in by_size[_NUM_PHOTOS[-1]]:
        click.echo(
            f"{run.capacity.num_nodes:5d} nodes: {run.photos_per_s:.0f} photos per second, limited "
            f"by {run.bottleneck}"
        )


if __name__ == "__main__":
    main()
