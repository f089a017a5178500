"""The three variants of the paper's Table 1 on made faces: ``python jobs/table1.py``.

Small turns; small and middle; small, middle and large: one round each from the same photos and
the same network, with several seeds. Measured on two sets: yaws up to 90 degrees alike, and
mostly frontal, like those of AFLW2000-3D. ``large`` is the demo.
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
from rayboot.rounds.demo import DemoConfig, demo_config, make_faces
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
    """Runs the variants once a seed; writes tables and plots of all seeds' faces to OUT."""
    results = [run_seed(out / f"seed-{seed}", demo_config(seed)) for seed in range(num_seeds)]
    pooled = pool(results)
    config = MeasureConfig(datasets=test_sets(out / "seed-0"), bands=BANDS)
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
    """Makes the faces, runs a round a variant, and measures all on both sets."""
    make_faces(folder, demo)
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
            datasets=test_sets(folder), models=models, output=str(folder / "all"), bands=BANDS
        )
    )
    with connect():
        return measure(plan).results


def test_faces(demo: DemoConfig) -> dict[str, SynthesisConfig]:
    """The faces to measure on; neither set shares one with the photos or with the other."""
    first = demo.test_photos.first_identity
    return {
        name: demo.test_photos.replace(yaw=yaw, first_identity=first + 100_000 * place)
        for place, (name, yaw) in enumerate(YAWS.items())
    }


def test_sets(folder: Path) -> dict[str, Any]:
    """Those of a seed's folder."""
    return {name: SyntheticDataset(data=str(folder / name)) for name in YAWS}


def pool(results: Sequence[Results]) -> Results:
    """The rows of all seeds; each seed's faces are its own."""
    tables = []
    for seed, found in enumerate(results):
        ids = pc.binary_join_element_wise(f"seed-{seed}", found.rows["face_id"], "/")
        place = found.rows.schema.get_field_index("face_id")
        tables.append(found.rows.set_column(place, "face_id", ids))
    return Results(pa.concat_tables(tables), results[0].datasets, results[0].models)


def changes_by_seed(name: str, results: Sequence[Results]) -> list[str]:
    """A line a variant and band: the change of every seed, and their median."""
    bands = ((0.0, 90.0), *BANDS)
    tables = [
        {row.band: row.cells for row in tabulate_bands(found.errors(name), bands)}
        for found in results
    ]
    lines = []
    for place, variant in enumerate(VARIANTS, start=1):
        for band in tables[0]:
            # A band may hold no face of a seed.
            cells = [table[band] for table in tables if band in table]
            values = [100 * (row[place].mean / row[0].mean - 1) for row in cells]
            spread = ", ".join(f"{value:+.1f}" for value in values)
            lines.append(f"{variant} {band}: {statistics.median(values):+.1f} % ({spread})")
    return lines


if __name__ == "__main__":
    main()
