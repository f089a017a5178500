"""A round with several seeds: errors by band of yaw and data set, medians and each seed's change.

The seed is added to those of the pairs and of the fine-tuning, so teacher and photos stay the
same.

python -m benchmarks.round_seeds --config configs/round-real-photos.yaml --out runs/round-seeds
"""

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import click

from rayboot.config import load_config
from rayboot.evaluate.metrics.bands import BandRow, tabulate_bands
from rayboot.evaluate.results import Results, read_result_rows
from rayboot.rounds.round import run_round
from rayboot.rounds.round_config import RoundConfig
from rayboot.rounds.steps import AFTER, BEFORE

ALIGNMENTS: tuple[Literal["icp", "none"], ...] = ("icp", "none")


@click.command()
@click.option("--config", "path", type=click.Path(path_type=Path), required=True)
@click.option("--out", type=click.Path(path_type=Path), default=Path("runs/round-seeds"))
@click.option("--seeds", "num_seeds", default=3, show_default=True)
def main(path: Path, out: Path, num_seeds: int) -> None:
    """Runs the round once per seed, or resumes it; prints a table for each data set."""
    base = load_config(RoundConfig, path)
    config = base.replace(storage=None, tracking_uri=None)
    results = [run_seed(config, out / f"seed-{seed}", seed) for seed in range(num_seeds)]
    for name in results[0].datasets:
        for align in ALIGNMENTS:
            tables = [
                tabulate_bands(result.errors(name), config.evaluation.bands, align)
                for result in results
            ]
            click.echo(f"\n{name}, alignment {align}\n" + format_seeds(tables, same_faces=True))


def run_seed(config: RoundConfig, folder: Path, seed: int) -> Results:
    """Runs one round in ``folder``; returns the errors of original and candidate."""
    optimizer = config.finetune.optimizer
    seeded = config.replace(
        output=str(folder.resolve()),
        generate=config.generate.replace(seed=config.generate.seed + seed),
        finetune=config.finetune.replace(optimizer=optimizer.replace(seed=optimizer.seed + seed)),
    )
    run_round(seeded)
    return load_results(folder)


def load_results(folder: Path) -> Results:
    """Returns the errors that a finished round in ``folder`` has stored."""
    rows = read_result_rows(folder / "evaluation/results.parquet")
    datasets = sorted(set(rows["dataset"].to_pylist()))
    return Results(rows, datasets, [BEFORE, AFTER])


def format_seeds(tables: Sequence[Sequence[BandRow]], *, same_faces: bool) -> str:
    """Returns a Markdown table of medians over seeds: errors before and after, and the change.

    Args:
        tables: Rows by band of |yaw| of each seed.
        same_faces: Whether every seed is measured on the same faces, which are then counted once.
    """
    lines = ["| yaw | faces | original | candidate | change |", "|---|---|---|---|---|"]
    for rows in zip(*tables, strict=True):
        num_faces = rows[0].num_faces if same_faces else sum(row.num_faces for row in rows)
        before, after = (
            statistics.median(row.cells[index].mean for row in rows) for index in (0, -1)
        )
        changes = [row.change.mean for row in rows]
        lines.append(
            f"| {rows[0].band} | {num_faces} | {before:.2f} "
            f"| {after:.2f} | {statistics.median(changes):+.1f} % "
            f"({', '.join(f'{change:+.1f}' for change in changes)}) |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
