"""Measurement of listed faces in this process: read, predict, compare with the true shape."""

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from rayboot.errors import DegenerateInputError, FaceRejectedError, ShapeError
from rayboot.evaluate.datasets.base import EvalDataset, GroundTruthFace
from rayboot.evaluate.datasets.ground_truth_alignment import align_ground_truth
from rayboot.evaluate.evaluation_config import MeasureConfig
from rayboot.evaluate.metrics.detail import measure_details
from rayboot.evaluate.metrics.nme import Comparison
from rayboot.evaluate.protocol import Protocol
from rayboot.evaluate.results import RESULT_SCHEMA, FaceError
from rayboot.geometry.isosurface import extract_solid_surface
from rayboot.models import Reconstructor
from rayboot.models.network_config import InferenceConfig
from rayboot.models.predictor import Predictor

__all__ = ["MeasureFaces", "measure_face"]

_LOG = logging.getLogger(__name__)


class MeasureFaces:
    """Stage that turns listed faces into errors, one row per face and model.

    A face whose files are missing or damaged gets rows without errors that give the reason.

    Args:
        networks: networks on their device, by model name.
        config: config of the evaluation.
        name: name of the dataset in the config.
    """

    def __init__(
        self, networks: Mapping[str, Reconstructor], config: MeasureConfig, name: str
    ) -> None:
        self._name, self._protocol = name, config.protocol
        self._dataset: EvalDataset = config.datasets[name]
        self._crop_sizes = {model: network.config.resolution for model, network in networks.items()}
        self._predictors = {
            model: Predictor(network, InferenceConfig(), batch_size=config.batch_size)
            for model, network in networks.items()
        }

    def __call__(self, table: pa.Table) -> pa.Table:
        """Returns rows of :data:`~rayboot.evaluate.results.RESULT_SCHEMA` of listed faces."""
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
            "",
            *measure_details(comparison, mesh, aligned.shape, aligned.interocular, aligned.nose),
        )
    except (DegenerateInputError, ShapeError) as error:
        return _failed_face(face.face_id, face.yaw_deg, str(error))


def _failed_face(face_id: str, yaw_deg: float | None, reason: str) -> FaceError:
    nan = float("nan")
    return FaceError(face_id, nan if yaw_deg is None else yaw_deg, nan, nan, nan, reason)
