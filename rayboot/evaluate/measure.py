"""Measuring models on a set of faces, over Ray Data; goes on where it was stopped.

Rows that are done lie in files of some faces each, each whole or not there at all, so a face
is measured once however often a run is killed.
"""

import json
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import ray.data
from ray.data import ActorPoolStrategy
from tqdm import tqdm

from rayboot.cluster.broadcast import BroadcastFile
from rayboot.cluster.resources import require_resources
from rayboot.errors import DegenerateInputError, FaceRejectedError, RequestError, ShapeError
from rayboot.evaluate.datasets.base import EvalDataset, ExcludedFace, GroundTruthFace
from rayboot.evaluate.datasets.ground_truth_alignment import align_ground_truth
from rayboot.evaluate.evaluation_config import MeasureConfig
from rayboot.evaluate.metrics.nme import Comparison
from rayboot.evaluate.protocol import Protocol
from rayboot.evaluate.results import RESULT_SCHEMA, FaceError, Results, write_table
from rayboot.geometry.isosurface import extract_surface
from rayboot.geometry.mesh import Mesh
from rayboot.geometry.volume import keep_largest_component
from rayboot.io.storage import write_bytes
from rayboot.logs import LogContext, adopt_context, current_context
from rayboot.models import Reconstructor, load_network
from rayboot.models.network_config import InferenceConfig
from rayboot.models.predictor import Predictor

__all__ = ["Measurements", "measure_face", "measure_models", "measured_surface"]

_LOG = logging.getLogger(__name__)

_STAMP = "stamp.json"


class Measurements(NamedTuple):
    """What was measured.

    Attributes:
        results: of every face and model.
        faults: by set, faces that were found and take no part.
        notes: by set, what is to be said of the count; sets without such a thing are left out.
    """

    results: Results
    faults: dict[str, list[ExcludedFace]]
    notes: dict[str, str]


def measure_models(
    weights: Mapping[str, Path], config: MeasureConfig, folder: Path, digests: Mapping[str, str]
) -> Measurements:
    """Errors of every model on every face of every set; Ray must be initialised.

    Args:
        weights: local files by the models' names.
        config: of the evaluation.
        folder: of rows that are done; the same call goes on with them.
        digests: of the weights, by name.

    Raises:
        RequestError: the folder holds rows of other models, or another protocol or set; or a set
            has no face.
    """
    _require_same(folder, config, digests)
    tables, faults, notes = [RESULT_SCHEMA.empty_table()], {}, {}
    for name, faces in config.datasets.items():
        listing = faces.list_faces()
        if len(listing.rows) == 0:
            raise RequestError(f"set {name}: none of its {len(listing.faults)} faces is of use")
        faults[name] = listing.faults
        if listing.note:
            notes[name] = listing.note
            _LOG.info("%s: %s", name, listing.note)
        _measure_set(name, listing.rows, weights, config, folder / name)
        tables.append(_read_done(folder / name))
    results = Results(pa.concat_tables(tables), list(config.datasets), list(weights))
    return Measurements(results, faults, notes)


def _require_same(folder: Path, config: MeasureConfig, digests: Mapping[str, str]) -> None:
    path = folder / _STAMP
    content = config.model_dump(mode="json", include={"datasets", "protocol"})
    stamp = {**content, "models": dict(digests)}
    if not path.exists():
        write_bytes(str(path), json.dumps(stamp, indent=1).encode())
    elif json.loads(path.read_text("utf-8")) != stamp:
        raise RequestError(
            f"{folder}: holds rows of other models, sets or another protocol; choose a new output, "
            "or remove the old one"
        )


def _measure_set(
    name: str,
    listed: pa.Table,
    weights: Mapping[str, Path],
    config: MeasureConfig,
    folder: Path,
) -> None:
    done = _read_done(folder)["face_id"].unique()
    left = listed.filter(pc.invert(pc.is_in(listed["face_id"], value_set=done)))
    if len(left) == 0:
        return
    actor = {"CPU": config.cpus_per_actor, "GPU": config.gpus_per_actor}
    require_resources([actor] * config.num_actors, free_cpus=1)
    faces = ray.data.from_arrow(left).repartition(max(1, -(-len(left) // config.batch_size)))
    measured = faces.map_batches(
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
    number = len(list(folder.glob("part-*.parquet")))
    with tqdm(total=len(left), desc=f"evaluate {name}", unit="face") as bar:
        # A batch that comes has whole faces: all models of each.
        for table in _batches(measured):
            assert len(table) % len(weights) == 0
            write_table(folder / f"part-{number:06d}.parquet", table)
            number += 1
            bar.update(len(table) // len(weights))


def _batches(measured: ray.data.Dataset) -> Iterator[pa.Table]:
    # Blocks as they are: what one call gave stays together.
    for table in measured.iter_batches(batch_size=None, batch_format="pyarrow"):
        assert isinstance(table, pa.Table)
        yield table.select(RESULT_SCHEMA.names).cast(RESULT_SCHEMA)


def _read_done(folder: Path) -> pa.Table:
    parts = [pq.read_table(path) for path in sorted(folder.glob("part-*.parquet"))]
    return pa.concat_tables([RESULT_SCHEMA.empty_table(), *parts])


class _MeasureFaces:
    """Listed faces to errors, one row a face and model.

    A face whose files are missing or damaged has rows without numbers that say why.
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
        self._faces: EvalDataset = config.datasets[name]
        networks = {model: _load(file, device) for model, file in weights.items()}
        self._sizes = {model: network.config.resolution for model, network in networks.items()}
        self._predictors = {
            model: Predictor(network, InferenceConfig(), batch_size=config.batch_size)
            for model, network in networks.items()
        }

    def __call__(self, table: pa.Table) -> pa.Table:
        listed = table.to_pylist()
        # Networks of one size see the same crops.
        read = {size: self._read(listed, size) for size in set(self._sizes.values())}
        rows: list[dict[str, Any]] = []
        for model, predictor in self._predictors.items():
            found = read[self._sizes[model]]
            faces = [face for face in found if isinstance(face, GroundTruthFace)]
            images = np.stack([face.image for face in faces]) if faces else None
            volumes = iter(() if images is None else predictor.predict(images))
            rows += [
                {
                    "set": self._name,
                    "model": model,
                    **(
                        measure_face(face, next(volumes), self._protocol)
                        if isinstance(face, GroundTruthFace)
                        else face
                    )._asdict(),
                }
                for face in found
            ]
        return pa.Table.from_pylist(rows, schema=RESULT_SCHEMA)

    def _read(self, listed: list[dict[str, Any]], size: int) -> list[GroundTruthFace | FaceError]:
        found: list[GroundTruthFace | FaceError] = []
        for row in listed:
            try:
                found.append(self._faces.read(row, size))
            except FaceRejectedError as error:
                yaw = row.get("yaw_deg")
                _LOG.debug("%s", error, extra={"face_id": row["face_id"], "set": self._name})
                found.append(_without_number(row["face_id"], yaw, str(error)))
        return found


def _load(weights: BroadcastFile, device: str) -> Reconstructor:
    with weights.local_path() as path:
        return load_network(path, device)


def measure_face(
    face: GroundTruthFace, occupancy: np.ndarray, protocol: Protocol | None = None
) -> FaceError:
    """Errors of a predicted volume (D, H, W) float32 against the true face."""
    protocol = protocol or Protocol()
    try:
        mesh = measured_surface(occupancy)
        # Faces whose truth is in a frame of its own are brought to where the shape is.
        placed = align_ground_truth(face, mesh) if face.landmarks is not None else face
        compared = Comparison(mesh, placed.shape, placed.interocular, protocol)
        return FaceError(
            face.face_id,
            placed.yaw_deg,
            compared.nme("icp"),
            compared.nme("none"),
            compared.nme("correspondence"),
        )
    except (DegenerateInputError, ShapeError) as error:
        return _without_number(face.face_id, face.yaw_deg, str(error))


def _without_number(face_id: str, yaw_deg: float | None, reason: str) -> FaceError:
    nan = float("nan")
    return FaceError(face_id, nan if yaw_deg is None else yaw_deg, nan, nan, nan, reason)


def measured_surface(occupancy: np.ndarray) -> Mesh:
    """The surface that is measured: of the largest body, on the volume's own voxels.

    Raises:
        DegenerateInputError: nothing was reconstructed.
    """
    return extract_surface(keep_largest_component(occupancy))
