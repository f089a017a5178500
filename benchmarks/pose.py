"""Errors of the estimated pose on synthetic heads, in degrees: ``python benchmarks/pose.py``.

The heads are those of ``tests/synthesis``; the pose is estimated on the surface that is rendered.
"""

import click
import numpy as np

from rayboot.geometry.isosurface import extract_surface
from rayboot.geometry.pose import estimate_pose
from tests.synthesis.solids import soft_solid

DEPTHS = (50, 65, 85)


@click.command()
@click.option("--num-heads", default=24, show_default=True)
def main(num_heads: int) -> None:
    """Prints median and 95th percentile of the errors by depth of the solid."""
    for depth in DEPTHS:
        errors = []
        for identity in range(num_heads):
            solid = soft_solid(identity, depth)
            pose = estimate_pose(extract_surface(solid.volume, cell=1).vertices)
            axes = np.stack([pose.symmetry_normal, pose.gaze])
            true = solid.sample.rotation[:, [0, 2]].T
            errors.append(np.degrees(np.arccos(np.clip((axes * true).sum(axis=1), -1, 1))))
        middle, high = np.quantile(errors, [0.5, 0.95], axis=0)
        click.echo(
            f"depth {depth}: normal {middle[0]:.2f}, {high[0]:.2f}; "
            f"gaze {middle[1]:.2f}, {high[1]:.2f}"
        )


if __name__ == "__main__":
    main()
