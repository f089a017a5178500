"""The three variants of the paper's Table 1 on synthetic faces: ``python jobs/table1.py``.

Small rotations; small and middle; small, middle and large: one round each from the same photos
and the same network, with several seeds. They are evaluated on two data sets: with yaw uniform up
to 90 degrees, and mostly frontal like AFLW2000-3D. ``large`` is the demo.
"""

import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import pyarrow as pa
import pyarrow.compute as pc

from rayboot.cluster.session import connect
from rayboot.evaluate.datasets.synthetic import SyntheticDataset
from rayboot.evaluate.evaluation_config import EvaluateConfig, MeasureConfig
from rayboot.evaluate.measurements import Measurements
from rayboot.evaluate.metrics.bands import format_bands, tabulate_bands
from rayboot.evaluate.report.plots import plot_cumulative, plot_nme_against_yaw, plot_yaw_histogram
from rayboot.evaluate.report.summary import summarize
from rayboot.evaluate.report.tables import format_latex_table, format_markdown_table
from rayboot.evaluate.results import Results
from rayboot.evaluate.run import measure, prepare_evaluation
from rayboot.io.storage import exists, join_uri, write_bytes
from rayboot.pipeline.synthesize import synthesize
from rayboot.rounds.demo import DemoConfig, demo_config, synthesize_demo_faces
from rayboot.rounds.round import run_round
from rayboot.synthesis import SynthesisConfig, YawConfig

VARIANTS = ("small", "middle", "large")
BANDS = ((0.0, 15.0), (15.0, 30.0), (30.0, 45.0), (45.0, 60.0), (60.0, 75.0), (75.0, 90.0))
YAWS = {
    "uniform": YawConfig(kind="uniform", max_deg=90),
    "frontal-heavy": YawConfig(kind="frontal_heavy", max_deg=90),
}
ORIGINAL = "builtin:compact"


@click.command()
@click.option("--out", type=click.Path(path_type=Path), default=Path("runs/table1"))
@click.option("--seeds", "num_seeds", default=3, show_default=True)
def main(out: Path, num_seeds: int) -> None:
    """Runs the variants once per seed; writes tables and plots of all seeds' faces to OUT."""
    results = [run_seed(out / f"seed-{seed}", demo_config(seed)) for seed in range(num_seeds)]
    pooled = pool(results)
    config = MeasureConfig(datasets=test_datasets(out / "seed-0"), bands=BANDS)
    models = {name: name for name in pooled.models}
    summary = summarize(Measurements(pooled, {}, {}), config, models, {})
    write_bytes(str(out / "summary.json"), (json.dumps(summary, indent=1) + "\n").encode())
    write_bytes(str(out / "table1.md"), format_markdown_table(summary).encode())
    write_bytes(str(out / "table1.tex"), format_latex_table(summary).encode())
    click.echo(format_markdown_table(summary))
    for name in pooled.datasets:
        errors = pooled.errors(name)
        for part, plot in {
            "yaw": plot_nme_against_yaw(errors),
            "cumulative": plot_cumulative(errors),
            "histogram": plot_yaw_histogram(errors["original"]),
        }.items():
            write_bytes(str(out / "plots" / f"{name}-{part}.png"), plot)
        click.echo(f"{name}, all seeds' faces")
        click.echo(format_bands(tabulate_bands(errors, BANDS), pooled.models))
        click.echo("\n".join(changes_by_seed(name, results)))


def run_seed(folder: Path, demo: DemoConfig) -> Results:
    """Synthesises the faces, runs one round per variant, and evaluates all on both data sets."""
    synthesize_demo_faces(folder, demo)
    for name, faces in test_faces(demo).items():
        if not exists(join_uri(str(folder / name), "truth/topology.npz")):
            synthesize(faces, str(folder / name))
    models = {"original": ORIGINAL}
    for variant in VARIANTS:
        views = demo.generate.views.replace(preset=variant)
        request = demo.round_config(folder).replace(
            output=str(folder / variant), generate=demo.generate.replace(views=views)
        )
        run_round(request)
        models[variant] = str(folder / variant / "candidate.safetensors")
    plan = prepare_evaluation(
        EvaluateConfig(
            datasets=test_datasets(folder), models=models, output=str(folder / "all"), bands=BANDS
        )
    )
    with connect():
        return measure(plan).results


def test_faces(demo: DemoConfig) -> dict[str, SynthesisConfig]:
    """Returns the faces to evaluate on; no identity occurs in two data sets or in the photos."""
    first = demo.test_photos.first_identity
    return {
        name: demo.test_photos.replace(yaw=yaw, first_identity=first + 100_000 * index)
        for index, (name, yaw) in enumerate(YAWS.items())
    }


def test_datasets(folder: Path) -> dict[str, Any]:
    """Returns the evaluation data sets in a seed's folder."""
    return {name: SyntheticDataset(data=str(folder / name)) for name in YAWS}


def pool(results: Sequence[Results]) -> Results:
    """Returns the rows of all seeds, with face ids that are unique to the seed."""
    tables = []
    for seed, result in enumerate(results):
        ids = pc.binary_join_element_wise(f"seed-{seed}", result.rows["face_id"], "/")
        column = result.rows.schema.get_field_index("face_id")
        tables.append(result.rows.set_column(column, "face_id", ids))
    return Results(pa.concat_tables(tables), results[0].datasets, results[0].models)


def changes_by_seed(name: str, results: Sequence[Results]) -> list[str]:
    """Returns one line per variant and band: the change of every seed, and their median."""
    bands = ((0.0, 90.0), *BANDS)
    tables = [
        {row.band: row.cells for row in tabulate_bands(result.errors(name), bands)}
        for result in results
    ]
    lines = []
    for column, variant in enumerate(VARIANTS, start=1):
        for band in tables[0]:
            # A band may contain no face of a seed.
            cells = [table[band] for table in tables if band in table]
            values = [100 * (row[column].mean / row[0].mean - 1) for row in cells]
            spread = ", ".join(f"{value:+.1f}" for value in values)
            lines.append(f"{variant} {band}: {statistics.median(values):+.1f} % ({spread})")
    return lines


if __name__ == "__main__":
    main()
