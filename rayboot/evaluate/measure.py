"""Measuring models on faces with known shape, over Ray Data."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import ray.data
from ray.data import ActorPoolStrategy
from tqdm import tqdm

from rayboot.errors import RequestError
from rayboot.evaluate.benchmark import FaceError, measure_face
from rayboot.evaluate.config import EvaluateConfig
from rayboot.evaluate.faces import list_true_faces, read_true_face
from rayboot.models import load_network
from rayboot.models.config import InferenceConfig
from rayboot.models.predictor import Predictor

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
    table = list_true_faces(config)
    faces = ray.data.from_arrow(table).repartition(4 * config.num_actors)
    measured = faces.map_batches(
        _MeasureFaces,
        fn_constructor_kwargs={
            "weights": {name: str(path) for name, path in weights.items()},
            "config": config,
        },
        batch_format="pyarrow",
        batch_size=config.batch_size,
        num_cpus=config.cpus_per_actor,
        compute=ActorPoolStrategy(size=config.num_actors),
    )
    errors: dict[str, list[FaceError]] = {name: [] for name in weights}
    total = len(table) * len(weights)
    for row in tqdm(measured.iter_rows(), total=total, desc="evaluate", unit="face"):
        errors[row.pop("model")].append(FaceError(**row))
    return {name: sorted(found, key=lambda e: e.face_id) for name, found in errors.items()}


class _MeasureFaces:
    """Faces with their truth to errors, one row a face and model."""

    def __init__(self, weights: Mapping[str, str], config: EvaluateConfig) -> None:
        networks = {name: load_network(path) for name, path in weights.items()}
        sizes = {network.config.resolution for network in networks.values()}
        if len(sizes) != 1:
            raise RequestError(
                f"models of one resolution can be compared, got {sorted(sizes)}; name others"
            )
        self._size, self._config = sizes.pop(), config
        self._predictors = {
            name: Predictor(network, InferenceConfig(), batch_size=config.batch_size)
            for name, network in networks.items()
        }

    def __call__(self, table: pa.Table) -> pa.Table:
        faces = [read_true_face(self._config, row, self._size) for row in table.to_pylist()]
        images = np.stack([face.image for face in faces])
        rows: list[dict[str, Any]] = []
        for name, predictor in self._predictors.items():
            volumes = predictor.predict(images)
            rows += [
                {"model": name, **measure_face(face, volume)._asdict()}
                for face, volume in zip(faces, volumes, strict=True)
            ]
        return pa.Table.from_pylist(rows, schema=_SCHEMA)
