"""The demo with several seeds: errors by band of yaw, medians and each seed's change.

The errors are given after rigid ICP and for shapes as the network placed them. A seed changes the
photos, the test faces and the order of training.

python -m benchmarks.demo_seeds --out runs/demo-seeds --seeds 3
"""

import json
from pathlib import Path

import click

from benchmarks.round_seeds import ALIGNMENTS, format_seeds
from rayboot.evaluate.metrics.bands import tabulate_bands
from rayboot.rounds.demo import demo_config, run_demo

BANDS = ((0, 15), (15, 30), (30, 45), (45, 60), (60, 90))


@click.command()
@click.option("--out", type=click.Path(path_type=Path), default=Path("runs/demo-seeds"))
@click.option("--seeds", "num_seeds", default=3, show_default=True)
def main(out: Path, num_seeds: int) -> None:
    """Runs the demo once per seed; prints the seconds of its steps, then a table per alignment."""
    errors = []
    for seed in range(num_seeds):
        result = run_demo(out / f"seed-{seed}", demo_config(seed))
        click.echo(json.dumps({"seed": seed, "seconds": result.seconds}))
        errors.append(result.errors)
    for align in ALIGNMENTS:
        tables = [tabulate_bands(faces, BANDS, align) for faces in errors]
        click.echo(f"\nalignment {align}\n" + format_seeds(tables, same_faces=False))


if __name__ == "__main__":
    main()
