"""Estimated scaling of ``generate`` on nodes with a GPU, from times that are partly assumed.

    python benchmarks/gpu_scaling.py

Nothing is run: what ``rayboot plan`` simulates after it has measured a sample is simulated here for
nodes of 16 cores and one GPU, packed photos in a bucket, and the network of the released size.
"""

import click

from rayboot.pipeline.generate_config import PoolConfig
from rayboot.pipeline.planning.capacity import Calibration, Node
from rayboot.pipeline.planning.limits import InputSpec
from rayboot.pipeline.planning.scaling import ScalingEstimate, estimate, format_efficiency

_NODE = Node(cpus=16, gpus=1)
_NUM_NODES = (1, 2, 4, 8, 16, 32, 64)
_NUM_PHOTOS = (200_000, 1_000_000, 10_000_000, 100_000_000)

_CLUSTERS = {
    "1 gpu": Node(cpus=16, gpus=1),
    "1 gpu, 2 cpu (small)": Node(cpus=16 + 2 * 16, gpus=1),
    "4 gpu, 2 cpu (LS3D-W)": Node(cpus=4 * 16 + 2 * 32, gpus=4),
}
"""Clusters of docs/guides/clusters.md, each as one machine with all cores and GPUs."""
_LS3D_W_PHOTOS = 230_000
_TRAINED_VIEWS = 10 * 1_200_000
"""Samples of ten epochs."""
_TRAINED_PER_S = 35.0
"""Samples per second of one L4, assumed."""

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
    """Prints efficiency and hours by number of nodes and photos, the limits, and LS3D-W."""
    by_size = {count: _estimate(count, _NODE, _NUM_NODES) for count in _NUM_PHOTOS}
    click.echo(format_efficiency(by_size))
    for run in by_size[_NUM_PHOTOS[-1]]:
        click.echo(
            f"{run.capacity.num_nodes:5d} nodes: {run.photos_per_s:.0f} photos per second, limited "
            f"by {run.bottleneck}"
        )
    click.echo(f"\nLS3D-W: {_LS3D_W_PHOTOS:,} photos, {_TRAINED_VIEWS / 1e6:.0f} million samples")
    for name, machine in _CLUSTERS.items():
        (run,) = _estimate(_LS3D_W_PHOTOS, machine, (1,))
        training_h = _TRAINED_VIEWS / _TRAINED_PER_S / machine.gpus / 3600
        click.echo(
            f"{name:>22}: pairs {run.hours():.2f} h, {run.photos_per_s:.0f} photos per second, "
            f"limited by {run.bottleneck}; training {training_h:.0f} h"
        )


def _estimate(num_photos: int, node: Node, num_nodes: tuple[int, ...]) -> list[ScalingEstimate]:
    photos = InputSpec(num_photos, packed=True, in_object_store=True)
    return estimate(_CALIBRATION, photos, node, num_nodes, PoolConfig(reconstruct_gpus=1.0))


if __name__ == "__main__":
    main()
