"""The demo with several seeds, and the median change of the error by band of yaw.

The change is given after rigid ICP and for shapes as the network placed them.

python benchmarks/demo_seeds.py --out runs/demo-seeds --seeds 3
"""

import json
import statistics
from pathlib import Path
from typing import Any, Literal

import click

from rayboot.evaluate.metrics.bands import tabulate_bands
from rayboot.rounds.demo import demo_config, run_demo

BANDS = ((0, 15), (15, 30), (30, 45), (45, 60), (60, 90))
ALIGNMENTS: tuple[Literal["icp", "none"], ...] = ("icp", "none")


@click.command()
@click.option("--out", type=click.Path(path_type=Path), default=Path("runs/demo-seeds"))
@click.option("--seeds", "num_seeds", default=3, show_default=True)
def main(out: Path, num_seeds: int) -> None:
    """Runs the demo once per seed; prints one line for each, then the medians."""
    records: list[dict[str, Any]] = []
    for seed in range(num_seeds):
        result = run_demo(out / f"seed-{seed}", demo_config(seed))
        changes = {
            align: {
                row.band: row.change.mean for row in tabulate_bands(result.errors, BANDS, align)
            }
            for align in ALIGNMENTS
        }
        records.append({"seed": seed, "seconds": result.seconds, "change_percent": changes})
        click.echo(json.dumps(records[-1]))
    for align in ALIGNMENTS:
        for band in records[0]["change_percent"][align]:
            values = [record["change_percent"][align][band] for record in records]
            spread = ", ".join(f"{value:+.1f}" for value in values)
            median = statistics.median(values)
            click.echo(f"{align}, |yaw| {band}: median {median:+.1f} % ({spread})")
    (out / "seeds.json").write_text(json.dumps(records, indent=1) + "\n")


if __name__ == "__main__":
    main()
