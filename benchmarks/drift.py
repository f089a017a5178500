"""Shape statistics of networks that are made to collapse on purpose.

python benchmarks/drift.py --pairs runs/demo/round/pairs --out runs/drift

Two copies of a pairs data set get other shapes: in ``one-face`` every face has the shape of the
first one, in ``one-side`` the left half of each shape is moved back by a tenth of the depth. The
network is fine-tuned on each copy as in the demo, and compared with the network before.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rayboot.cluster.session import connect
from rayboot.geometry.surface_depth import (
    complete_surface_depth,
    measure_columns,
    pack_surface_depth,
)
from rayboot.geometry.volume import pack_occupancy, unpack_occupancy
from rayboot.registry.resolve import resolve_model
from rayboot.rounds.demo import demo_config
from rayboot.rounds.drift import DriftConfig, detect_drift, measure_drift
from rayboot.train.finetune import finetune
from rayboot.train.training_config import FinetuneConfig

MODEL = "builtin:compact"

ShapeChange = Callable[[np.ndarray, np.ndarray], np.ndarray]


@click.command()
@click.option("--pairs", required=True, type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), default=Path("runs/drift"))
@click.option("--epochs", default=1, show_default=True)
def main(pairs: Path, out: Path, epochs: int) -> None:
    """Prints the statistics of each network as JSON, one per line."""
    weights = {"first": resolve_model(MODEL).path}
    for name in ("one-face", "one-side"):
        change = first_face if name == "one-face" else cut_left_front
        copy_with_changed_shapes(pairs, out / name, change)
        weights[name] = train(out / name, out / f"{name}.safetensors", epochs)
    shapes = measure_drift(weights, str(pairs), DriftConfig())
    for name, statistics in shapes.items():
        drift = detect_drift(shapes["first"].photos, statistics, DriftConfig())
        click.echo(json.dumps({"run": name, **statistics.to_json(), "drift": drift}))


def train(data: Path, target: Path, epochs: int) -> Path:
    """Fine-tunes as in the demo, unless the weights file ``target`` exists; returns that file."""
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


def copy_with_changed_shapes(source: Path, target: Path, change: ShapeChange) -> None:
    """Copies a pairs data set with changed shapes, unless the copy exists.

    Args:
        source: the data set.
        target: the copy.
        change: function of a face's shape and the first face's shape, (D, H, W) bool each.
    """
    if target.exists():
        return
    files = sorted((source / "outcome=face").rglob("*.parquet"))
    first = unpack(pq.ParquetFile(files[0]).read().slice(0, 1).to_pylist()[0])
    for file in files:
        table = pq.ParquetFile(file).read()
        shapes = [change(unpack(row), first) for row in table.to_pylist()]
        # Networks learn from one of the two columns, according to their kind.
        for name, encode in (("occupancy", pack_occupancy), ("surface_depth", encode_depth)):
            column = table.schema.get_field_index(name)
            values = pa.array([encode(shape) for shape in shapes], pa.binary())
            table = table.set_column(column, table.schema.field(column), values)
        copy = target / "outcome=face" / file.name
        copy.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, copy)
    shutil.copy(source / "manifest.json", target / "manifest.json")
    if (source / "manifests").exists():
        shutil.copytree(source / "manifests", target / "manifests")


def unpack(row: dict) -> np.ndarray:
    """Returns the shape of a face's row, (D, H, W) bool."""
    return unpack_occupancy(row["occupancy"], tuple(row["shape"]))


def encode_depth(shape: np.ndarray) -> bytes:
    """Returns the stored depth maps of a shape (D, H, W) bool."""
    columns = measure_columns(shape.astype(np.float32) - 0.5)
    return pack_surface_depth(complete_surface_depth(columns, shape.shape[2]))


def first_face(shape: np.ndarray, first: np.ndarray) -> np.ndarray:
    """Returns the first face's shape in place of any other."""
    return first


def cut_left_front(shape: np.ndarray, first: np.ndarray) -> np.ndarray:
    """Moves the left half of a shape back by a tenth of the volume's depth."""
    cut, half = shape.copy(), shape.shape[2] // 2
    depth = len(shape) // 10
    cut[:-depth, :, :half] = shape[depth:, :, :half]
    return cut


if __name__ == "__main__":
    main()
