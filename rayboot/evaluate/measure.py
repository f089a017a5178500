"""Measurement of models on datasets with Ray Data, resumable after an interruption.

Finished rows are stored in files of a few faces each. A file is either complete or absent, so
every face is measured once, however often the run is killed.
"""

import logging
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import ray.data
from ray.data import ActorPoolStrategy
from tqdm import tqdm

from rayboot.cluster.broadcast import BroadcastFile
from rayboot.cluster.resources import require_resources
from rayboot.data.fingerprint import Fingerprint
from rayboot.errors import DegenerateInputError, FaceRejectedError, RequestError, ShapeError
from rayboot.evaluate.datasets.base import DatasetListing, EvalDataset, GroundTruthFace
from rayboot.evaluate.datasets.ground_truth_alignment import align_ground_truth
from rayboot.evaluate.evaluation_config import MeasureConfig
from rayboot.evaluate.measurements import Measurements
from rayboot.evaluate.metrics.nme import Comparison
from rayboot.evaluate.protocol import Protocol
from rayboot.evaluate.results import RESULT_SCHEMA, FaceError, Results, read_result_rows
from rayboot.geometry.isosurface import extract_solid_surface
from rayboot.io.parquet import write_table
from rayboot.logs import LogContext, adopt_context, current_context
from rayboot.models import Reconstructor, load_network
from rayboot.models.network_config import InferenceConfig
from rayboot.models.predictor import Predictor

__all__ = ["measure_face", "measure_models", "next_part_number"]

_LOG = logging.getLogger(__name__)

"""Record of what the rows of a folder were measured with."""


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
            _MeasureFaces,
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


class _MeasureFaces:
    """Stage that turns listed faces into errors, one row per face and model.

    A face whose files are missing or damaged gets rows without errors that give the reason.
    """

    def __init__(
        self,
        weights: Mapping[str, BroadcastFile],
        config: MeasureConfig,
        name: str,
        log: LogContext | None = None,
    ) -> None:
        adopt_context(log)
        device = "cuda" if config.gpus_per_actor else "cpu"
        self._name, self._protocol = name, config.protocol
        self._dataset: EvalDataset = config.datasets[name]
        networks = {model: _load(file, device) for model, file in weights.items()}
        self._crop_sizes = {model: network.config.resolution for model, network in networks.items()}
        self._predictors = {
            model: Predictor(network, InferenceConfig(), batch_size=config.batch_size)
            for model, network in networks.items()
        }

    def __call__(self, table: pa.Table) -> pa.Table:
        listed = table.to_pylist()
        # Networks of one input size share the crops.
        read = {size: self._read(listed, size) for size in set(self._crop_sizes.values())}
        rows: list[dict[str, Any]] = []
        for model, predictor in self._predictors.items():
            outcomes = read[self._crop_sizes[model]]
            faces = [face for face in outcomes if isinstance(face, GroundTruthFace)]
            images = np.stack([face.image for face in faces]) if faces else None
            volumes = iter(() if images is None else predictor.predict(images))
            for outcome in outcomes:
                error = (
                    measure_face(outcome, next(volumes), self._protocol)
                    if isinstance(outcome, GroundTruthFace)
                    else outcome
                )
                rows.append({"dataset": self._name, "model": model, **error._asdict()})
        return pa.Table.from_pylist(rows, schema=RESULT_SCHEMA)

    def _read(self, listed: list[dict[str, Any]], size: int) -> list[GroundTruthFace | FaceError]:
        """Reads the listed faces; those that cannot be read become errors without numbers."""
        outcomes: list[GroundTruthFace | FaceError] = []
        for row in listed:
            try:
                outcomes.append(self._dataset.read(row, size))
            except FaceRejectedError as error:
                _LOG.debug("%s", error, extra={"face_id": row["face_id"], "dataset": self._name})
                outcomes.append(_failed_face(row["face_id"], row.get("yaw_deg"), str(error)))
        return outcomes


def _load(weights: BroadcastFile, device: str) -> Reconstructor:
    with weights.local_path() as path:
        return load_network(path, device)


def measure_face(
    face: GroundTruthFace, occupancy: np.ndarray, protocol: Protocol | None = None
) -> FaceError:
    """Returns the errors of a predicted volume (D, H, W) float32 against the true face.

    The largest connected component of the volume is measured, its surface drawn on the volume's
    own voxels. Where the shapes cannot be compared, the result has NaN and the reason.
    """
    protocol = protocol or Protocol()
    try:
        mesh = extract_solid_surface(occupancy)
        # Truth in a frame of its own is first brought to the frame of the crop.
        aligned = align_ground_truth(face, mesh) if face.landmarks is not None else face
        comparison = Comparison(mesh, aligned.shape, aligned.interocular, protocol)
        return FaceError(
            face.face_id,
            aligned.yaw_deg,
            comparison.nme("icp"),
            comparison.nme("none"),
            comparison.nme("correspondence"),
        )
    except (DegenerateInputError, ShapeError) as error:
        return _failed_face(face.face_id, face.yaw_deg, str(error))


def _failed_face(face_id: str, yaw_deg: float | None, reason: str) -> FaceError:
    nan = float("nan")
    return FaceError(face_id, nan if yaw_deg is None else yaw_deg, nan, nan, nan, reason)
