"""Measuring models on faces with known shape, over Ray Data."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import ray.data
from ray.data import ActorPoolStrategy

from rayboot.data.images import decode_photo
from rayboot.data.storage import join_uri, read_bytes
from rayboot.data.truth import decode_vertices, truth_table
from rayboot.evaluate.aflw2000 import list_faces, read_face
from rayboot.evaluate.benchmark import FaceError, TrueFace, measure_face
from rayboot.evaluate.config import EvaluateConfig
from rayboot.geometry.crop import warp_photo
from rayboot.models import load_vrn
from rayboot.models.predictor import InferenceConfig, Predictor

__all__ = ["measure_models"]

_SCHEMA = pa.schema(
    [
        ("model", pa.string()),
        ("face_id", pa.string()),
        ("yaw_deg", pa.float64()),
        ("nme_icp", pa.float64()),
        ("nme_none", pa.float64()),
    ]
)


def measure_models(
    weights: Mapping[str, Path], config: EvaluateConfig
) -> dict[str, list[FaceError]]:
    """Errors of every model on every face; Ray must be initialised.

    Args:
        weights: local files by the models' names.
        config: of the evaluation.

    Returns:
        By model, in the order of ``face_id``.
    """
    table = truth_table(config.data) if config.kind == "synthetic" else list_faces(config.data)
    faces = ray.data.from_arrow(table).repartition(4 * config.num_actors)
    measured = faces.map_batches(
        _MeasureFaces,
        fn_constructor_kwargs={
            "weights": {name: str(path) for name, path in weights.items()},
            "data": config.data,
            "kind": config.kind,
            "batch_size": config.batch_size,
        },
        batch_format="pyarrow",
        batch_size=config.batch_size,
        num_cpus=config.cpus_per_actor,
        compute=ActorPoolStrategy(size=config.num_actors),
    )
    errors: dict[str, list[FaceError]] = {name: [] for name in weights}
    for row in measured.iter_rows():
        errors[row.pop("model")].append(FaceError(**row))
    return {name: sorted(found, key=lambda e: e.face_id) for name, found in errors.items()}


class _MeasureFaces:
    """Faces with their truth to errors, one row a face and model."""

    def __init__(self, weights: Mapping[str, str], data: str, kind: str, batch_size: int) -> None:
        self._networks = {name: load_vrn(path) for name, path in weights.items()}
        sizes = {network.config.resolution for network in self._networks.values()}
        if len(sizes) != 1:
            raise ValueError(f"models of one resolution can be compared, got {sorted(sizes)}")
        self._size = sizes.pop()
        self._data, self._kind = data, kind
        self._predictors = {
            name: Predictor(network, InferenceConfig(), batch_size=batch_size)
            for name, network in self._networks.items()
        }

    def __call__(self, table: pa.Table) -> pa.Table:
        read = self._read_synthetic if self._kind == "synthetic" else self._read_photo
        faces = [read(row) for row in table.to_pylist()]
        images = np.stack([face.image for face in faces])
        rows: list[dict[str, Any]] = []
        for name, predictor in self._predictors.items():
            volumes = predictor.predict(images)
            rows += [
                {"model": name, **measure_face(face, volume)._asdict()}
                for face, volume in zip(faces, volumes, strict=True)
            ]
        return pa.Table.from_pylist(rows, schema=_SCHEMA)

    def _read_synthetic(self, row: dict[str, Any]) -> TrueFace:
        photo = decode_photo(read_bytes(join_uri(self._data, row["face_id"])))
        affine = np.reshape(row["crop"], (2, 3))
        return TrueFace(
            row["face_id"],
            warp_photo(photo, affine, self._size),
            decode_vertices(row["vertices"]),
            row["interocular"],
            row["yaw_deg"],
        )

    def _read_photo(self, row: dict[str, Any]) -> TrueFace:
        return read_face(self._data, row["face_id"], self._size)
