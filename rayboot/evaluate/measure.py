"""Measurement of models on datasets with Ray Data, resumable after an interruption.

Finished rows are stored in files of a few faces each. A file is either complete or absent, so
every face is measured once, however often the run is killed.
"""

import logging
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import ray.data
from ray.data import ActorPoolStrategy
from tqdm import tqdm

from rayboot.cluster.broadcast import BroadcastFile
from rayboot.cluster.resources import require_resources
from rayboot.data.fingerprint import Fingerprint
from rayboot.errors import RequestError
from rayboot.evaluate.datasets.base import DatasetListing
from rayboot.evaluate.evaluation_config import MeasureConfig
from rayboot.evaluate.measure_faces import MeasureFaces
from rayboot.evaluate.measurements import Measurements
from rayboot.evaluate.results import RESULT_SCHEMA, Results, read_result_rows
from rayboot.io.absolute_paths import with_absolute_paths
from rayboot.io.parquet import write_table
from rayboot.logs import LogContext, adopt_context, current_context
from rayboot.models import Reconstructor, load_network

__all__ = ["measure_models", "next_part_number"]

_LOG = logging.getLogger(__name__)


def measure_models(
    weights: Mapping[str, Path], config: MeasureConfig, folder: Path, digests: Mapping[str, str]
) -> Measurements:
    """Measures every model on every face of every dataset; Ray must be initialised.

    Args:
        weights: Local weights files, by model name.
        config: Config of the evaluation.
        folder: Folder of finished rows; calling again with the same folder resumes.
        digests: SHA-256 digests of the weights, by model name.

    Raises:
        RequestError: The folder holds rows of other models, datasets or another protocol, or a
            dataset has no face that can be measured.
    """
    _require_same_evaluation(folder, config, digests)
    # Rows are identified by the config as it was written; actors have other working folders.
    config = with_absolute_paths(config)
    tables, excluded, notes = [RESULT_SCHEMA.empty_table()], {}, {}
    for name, dataset in config.datasets.items():
        listing = dataset.list_faces()
        _require_faces(name, listing)
        excluded[name] = listing.excluded
        if listing.note:
            notes[name] = listing.note
            _LOG.info("%s: %s", name, listing.note)
        _measure_dataset(name, listing.rows, weights, config, folder / name)
        tables.append(_read_finished_rows(folder / name))
    results = Results(pa.concat_tables(tables), list(config.datasets), list(weights))
    return Measurements(results, excluded, notes)


def _require_same_evaluation(
    folder: Path, config: MeasureConfig, digests: Mapping[str, str]
) -> None:
    """Records what the rows of the folder are measured with, or compares it with the record."""
    identity = config.model_dump(mode="json", include={"datasets", "protocol"})
    fingerprint = Fingerprint(
        str(folder),
        "fingerprint.json",
        {**identity, "models": dict(digests)},
        former_name="stamp.json",
        former_keys={"sets": "datasets"},
    )
    if fingerprint.load() is None:
        fingerprint.save()


def _require_faces(name: str, listing: DatasetListing) -> None:
    if len(listing.rows):
        return
    reasons = Counter(face.reason for face in listing.excluded)
    why = "it contains none"
    if reasons:
        ((reason, count),) = reasons.most_common(1)
        face_id = next(face.face_id for face in listing.excluded if face.reason == reason)
        why = (
            f"all {len(listing.excluded)} are excluded; the most frequent reason, of {count} "
            f"({face_id}, for example): {reason}"
        )
    raise RequestError(f"dataset {name}: expected faces to measure, but {why}")


def _measure_dataset(
    name: str,
    listed: pa.Table,
    weights: Mapping[str, Path],
    config: MeasureConfig,
    folder: Path,
) -> None:
    """Measures the faces that have no rows in the folder yet, and stores their rows there."""
    finished = _read_finished_rows(folder)["face_id"].unique()
    remaining = listed.filter(pc.invert(pc.is_in(listed["face_id"], value_set=finished)))
    if len(remaining) == 0:
        return
    actor = {"CPU": config.cpus_per_actor, "GPU": config.gpus_per_actor}
    require_resources([actor] * config.num_actors, free_cpus=1)
    num_blocks = max(1, -(-len(remaining) // config.batch_size))
    measured = (
        ray.data.from_arrow(remaining)
        .repartition(num_blocks)
        .map_batches(
            _MeasureActor,
            fn_constructor_kwargs={
                "weights": {model: BroadcastFile.put(path) for model, path in weights.items()},
                "config": config,
                "name": name,
                "log": current_context(),
            },
            batch_format="pyarrow",
            batch_size=config.batch_size,
            num_cpus=config.cpus_per_actor,
            num_gpus=config.gpus_per_actor or None,
            compute=ActorPoolStrategy(size=config.num_actors),
        )
    )
    part = next_part_number(folder)
    with tqdm(total=len(remaining), desc=f"evaluate {name}", unit="face") as bar:
        for table in _iter_batches(measured):
            # A batch holds the rows of all models for each of its faces.
            assert len(table) % len(weights) == 0
            write_table(str(folder / f"part-{part:06d}.parquet"), table)
            part += 1
            bar.update(len(table) // len(weights))


def next_part_number(folder: Path) -> int:
    """Returns a number above those of all files of rows, so that none is overwritten."""
    numbers = [int(path.stem.removeprefix("part-")) for path in folder.glob("part-*.parquet")]
    return max(numbers, default=-1) + 1


def _iter_batches(measured: ray.data.Dataset) -> Iterator[pa.Table]:
    """Yields the rows of each call of the stage as one table."""
    # Without a batch size blocks are not split, so rows of one call stay together.
    for table in measured.iter_batches(batch_size=None, batch_format="pyarrow"):
        assert isinstance(table, pa.Table)
        yield table.select(RESULT_SCHEMA.names).cast(RESULT_SCHEMA)


def _read_finished_rows(folder: Path) -> pa.Table:
    parts = [read_result_rows(path) for path in sorted(folder.glob("part-*.parquet"))]
    return pa.concat_tables([RESULT_SCHEMA.empty_table(), *parts])


class _MeasureActor:
    """:class:`MeasureFaces` with networks that are broadcast to the nodes."""

    def __init__(
        self,
        weights: Mapping[str, BroadcastFile],
        config: MeasureConfig,
        name: str,
        log: LogContext | None = None,
    ) -> None:
        adopt_context(log)
        device = "cuda" if config.gpus_per_actor else "cpu"
        networks = {model: _load(file, device) for model, file in weights.items()}
        self._measure = MeasureFaces(networks, config, name)

    def __call__(self, table: pa.Table) -> pa.Table:
        return self._measure(table)


def _load(weights: BroadcastFile, device: str) -> Reconstructor:
    with weights.local_path() as path:
        return load_network(path, device)
