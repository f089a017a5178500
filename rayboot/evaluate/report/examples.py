"""Example faces of a dataset with the reconstructions of each model, for figures."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rayboot.data.subsets import evenly_spaced
from rayboot.errors import DegenerateInputError, FaceRejectedError, ShapeError
from rayboot.evaluate.datasets.base import EvalDataset, GroundTruthFace
from rayboot.evaluate.datasets.ground_truth_alignment import align_ground_truth
from rayboot.evaluate.metrics.nme import Comparison
from rayboot.evaluate.protocol import Protocol
from rayboot.evaluate.results import FaceError
from rayboot.geometry.alignment import Similarity
from rayboot.geometry.isosurface import extract_solid_surface
from rayboot.geometry.mesh import Mesh
from rayboot.models import load_network
from rayboot.models.network_config import InferenceConfig
from rayboot.models.predictor import Predictor

__all__ = ["EvaluatedFace", "Example", "make_examples", "pick_by_yaw", "read_dataset_faces"]

_LOG = logging.getLogger(__name__)

_NUM_COARSE_CELLS = 80
"""Number of cells across a crop on which the coarse mesh is drawn; it has about 8,000 vertices."""


class EvaluatedFace(NamedTuple):
    """One model's reconstruction of a face, compared with the truth.

    Attributes:
        truth: The true face in this model's crop.
        mesh: The reconstruction that is measured, px in the frame of the crop.
        coarse_mesh: The same reconstruction with fewer vertices.
        distances: (N,), distance of every true point to the reconstruction after ICP, as a
            fraction of the outer eye distance.
        prediction_from_truth: Transform by which ICP aligns the truth with the reconstruction.
    """

    truth: GroundTruthFace
    mesh: Mesh
    coarse_mesh: Mesh
    distances: np.ndarray
    prediction_from_truth: Similarity

    @property
    def crop_size(self) -> int:
        """Width of the crop, px."""
        return len(self.truth.image)


class Example(NamedTuple):
    """A face and its reconstructions.

    Attributes:
        face_id: Id of the face.
        yaw_deg: Yaw of the true pose; NaN where it is unknown.
        crop: (S, S, 3) uint8, crop of the photo.
        evaluated: Reconstructions by model; a model that reconstructed nothing is missing.
    """

    face_id: str
    yaw_deg: float
    crop: np.ndarray
    evaluated: dict[str, EvaluatedFace]


def pick_by_yaw(errors: Sequence[FaceError], count: int) -> list[str]:
    """Picks the ids of ``count`` faces, evenly spaced in their order of |yaw|.

    Where no yaw is known, they are evenly spaced in the order of their ids. Faces without an error
    are not picked.
    """
    measured = [error for error in errors if not error.reason]
    candidates = [error for error in measured if np.isfinite(error.yaw_deg)] or measured
    candidates.sort(key=lambda error: (np.nan_to_num(abs(error.yaw_deg)), error.face_id))
    if not candidates:
        return []
    return [candidates[rank].face_id for rank in evenly_spaced(len(candidates), count)]


def read_dataset_faces(
    dataset: EvalDataset, face_ids: Sequence[str], size: int, listed: pa.Table | None = None
) -> list[GroundTruthFace]:
    """Reads faces by ``face_id``, in the given order.

    A face whose files are no longer available is left out with a warning.

    Args:
        dataset: Dataset of the faces.
        face_ids: Ids of the faces.
        size: Size of the crops, px.
        listed: Rows of the dataset, if they are known; else the dataset is listed.
    """
    rows = dataset.list_faces().rows if listed is None else listed
    chosen = pc.is_in(rows["face_id"], value_set=pa.array(face_ids, pa.string()))
    faces = {}
    # Faces are read in the order of the listing, because datasets cache files of neighbours.
    for row in rows.filter(chosen).to_pylist():
        try:
            faces[row["face_id"]] = dataset.read(row, size)
        except FaceRejectedError as error:
            _LOG.warning("%s is left out of the figures: %s", row["face_id"], error)
    return [faces[face_id] for face_id in face_ids if face_id in faces]


def make_examples(
    weights: Mapping[str, Path],
    dataset: EvalDataset,
    errors: Sequence[FaceError],
    face_ids: Sequence[str],
    protocol: Protocol,
    listed: pa.Table | None = None,
) -> list[Example]:
    """Reconstructs some faces with every model and measures the distance of every true point.

    Args:
        weights: Local weights files, by model name.
        dataset: Dataset of the faces.
        errors: Errors of one model on the dataset, from which the yaws are taken.
        face_ids: Ids of the faces, in the order of the result.
        protocol: Protocol of the evaluation.
        listed: Rows of the dataset, if they are known; else the dataset is listed.
    """
    yaws = {error.face_id: error.yaw_deg for error in errors}
    examples: dict[str, Example] = {}
    faces_by_size: dict[int, list[GroundTruthFace]] = {}
    for name, path in weights.items():
        network = load_network(path)
        size = network.config.resolution
        if size not in faces_by_size:
            faces_by_size[size] = read_dataset_faces(dataset, face_ids, size, listed)
        predictor = Predictor(network, InferenceConfig(), batch_size=1)
        for face, volume in _predict(predictor, faces_by_size[size]):
            example = examples.setdefault(
                face.face_id, Example(face.face_id, yaws[face.face_id], face.image, {})
            )
            evaluated = _evaluate_face(face, volume, protocol)
            if evaluated is not None:
                example.evaluated[name] = evaluated
    return [examples[face_id] for face_id in face_ids if face_id in examples]


def _predict(
    predictor: Predictor, faces: list[GroundTruthFace]
) -> Iterator[tuple[GroundTruthFace, np.ndarray]]:
    # One volume at a time, since each takes 30 MB at full size.
    for face in faces:
        yield face, predictor.predict(face.image[None])[0]


def _evaluate_face(
    face: GroundTruthFace, volume: np.ndarray, protocol: Protocol
) -> EvaluatedFace | None:
    """Compares a reconstruction with the truth; returns None where they cannot be compared."""
    try:
        mesh = extract_solid_surface(volume)
        aligned = align_ground_truth(face, mesh) if face.landmarks is not None else face
        comparison = Comparison(mesh, aligned.shape, aligned.interocular, protocol)
        distances = comparison.from_truth("icp") / aligned.interocular
        cell = max(1, round(volume.shape[-1] / _NUM_COARSE_CELLS))
        coarse_mesh = extract_solid_surface(volume, cell=cell)
        return EvaluatedFace(
            aligned, mesh, coarse_mesh, distances, comparison.prediction_from_truth
        )
    except (DegenerateInputError, ShapeError) as error:
        _LOG.warning("the figures show %s without a shape: %s", face.face_id, error)
        return None
