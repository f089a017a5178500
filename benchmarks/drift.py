"""What the figures of drift say of a run that is made to collapse: every face learns one shape.

python benchmarks/drift.py --pairs runs/demo/round/pairs --out runs/drift

Of a pairs data set two copies are made, each face's shape replaced: in ``one-face`` all have the
first face's, in ``one-side`` the left half of each is emptied of its front. The demo's fine-tuning
on each of them is described against the network that it began with.
"""

import json
import shutil
from pathlib import Path

import click
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rayboot.cluster.session import connect
from rayboot.geometry.volume import pack_occupancy, unpack_occupancy
from rayboot.registry.resolve import resolve_model
from rayboot.rounds.demo import demo_config
from rayboot.rounds.drift import DriftConfig, detect_drift, measure_drift
from rayboot.train.finetune import finetune
from rayboot.train.training_config import FinetuneConfig

MODEL = "builtin:compact"


@click.command()
@click.option("--pairs", required=True, type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), default=Path("runs/drift"))
@click.option("--epochs", default=1, show_default=True)
def main(pairs: Path, out: Path, epochs: int) -> None:
    """Prints the figures of each run as JSON, a line each."""
    weights = {"first": resolve_model(MODEL).path}
    for name in ("one-face", "one-side"):
        copy_with(pairs, out / name, one_face if name == "one-face" else one_side)
        weights[name] = train(out / name, out / f"{name}.safetensors", epochs)
    shapes = measure_drift(weights, str(pairs), DriftConfig())
    for name, found in shapes.items():
        drift = detect_drift(shapes["first"], found, DriftConfig())
        click.echo(json.dumps({"run": name, **found._asdict(), "drift": drift}))


def train(data: Path, target: Path, epochs: int) -> Path:
    """The demo's fine-tuning on a data set; kept, so that it is done once."""
    if not target.exists():
        settings = demo_config().finetune
        optimizer = settings.optimizer.replace(num_epochs=epochs)
        values = {**settings.model_dump(), "optimizer": optimizer.model_dump()}
        config = FinetuneConfig(
            data=str(data), model=MODEL, storage=str(target.with_suffix("")), **values
        )
        with connect():
            target.write_bytes(finetune(config).weights)
    return target


def copy_with(source: Path, target: Path, change) -> None:  # type: ignore[no-untyped-def]
    """A pairs data set again, its shapes as ``change`` makes them, the first face's given."""
    if target.exists():
        return
    files = sorted((source / "outcome=face").rglob("*.parquet"))
    first = unpack(pq.ParquetFile(files[0]).read().slice(0, 1).to_pylist()[0])
    for file in files:
        table = pq.ParquetFile(file).read()
        shapes = [pack_occupancy(change(unpack(row), first)) for row in table.to_pylist()]
        place = table.schema.get_field_index("occupancy")
        table = table.set_column(place, table.schema.field(place), pa.array(shapes, pa.binary()))
        copy = target / "outcome=face" / file.name
        copy.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, copy)
    shutil.copy(source / "manifest.json", target / "manifest.json")


def unpack(row: dict) -> np.ndarray:
    """The shape of a face's row, (D, H, W) bool."""
    return unpack_occupancy(row["occupancy"], tuple(row["shape"]))


def one_face(shape: np.ndarray, first: np.ndarray) -> np.ndarray:
    """The first face, whoever it is."""
    return first


def one_side(shape: np.ndarray, first: np.ndarray) -> np.ndarray:
    """A face with a tenth of the volume's depth cut off its left half's front."""
    cut, half = shape.copy(), shape.shape[2] // 2
    depth = len(shape) // 10
    cut[:-depth, :, :half] = shape[depth:, :, :half]
    return cut


if __name__ == "__main__":
    main()
