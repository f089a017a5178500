"""A few faces of a set, and what models make of them: for pictures."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rayboot.errors import DegenerateInputError, FaceRejectedError, ShapeError
from rayboot.evaluate.datasets.base import EvalDataset, GroundTruthFace
from rayboot.evaluate.datasets.ground_truth_alignment import align_ground_truth
from rayboot.evaluate.metrics.nme import Comparison
from rayboot.evaluate.protocol import Protocol
from rayboot.evaluate.results import FaceError
from rayboot.geometry.alignment import Similarity
from rayboot.geometry.isosurface import extract_surface
from rayboot.geometry.mesh import Mesh
from rayboot.geometry.volume import keep_largest_component
from rayboot.models import load_network
from rayboot.models.network_config import InferenceConfig
from rayboot.models.predictor import Predictor

__all__ = ["EvaluatedFace", "Example", "make_examples", "pick_by_yaw", "read_dataset_faces"]

_LOG = logging.getLogger(__name__)

_THIN = 80
"""A thinned surface is drawn on about so many cubes across a crop; 8,000 vertices."""


class EvaluatedFace(NamedTuple):
    """What one model made of a face.

    Attributes:
        truth: the face in this model's crop, placed.
        mesh: the reconstruction that is measured, in the frame of that crop, px.
        thin: the same, with fewer vertices.
        apart: (N,) distance of every true point to the reconstruction after ICP, a share of the
            outer eye distance.
        motion: ICP's, which carries the truth onto the reconstruction.
    """

    truth: GroundTruthFace
    mesh: Mesh
    thin: Mesh
    distances: np.ndarray
    motion: Similarity

    @property
    def crop(self) -> int:
        """Width of the crop, px."""
        return self.truth.image.shape[0]


class Example(NamedTuple):
    """A face, and what models made of it.

    Attributes:
        face_id: of the photo.
        yaw_deg: of the true pose; NaN where it is not known.
        photo: (S, S, 3) uint8 crop.
        seen: by model; one that reconstructed nothing is missing.
    """

    face_id: str
    yaw_deg: float
    photo: np.ndarray
    seen: dict[str, EvaluatedFace]


def pick_by_yaw(errors: Sequence[FaceError], count: int) -> list[str]:
    """``count`` faces, by ``face_id``, spread evenly over |yaw|; chosen by rank alone.

    Where the yaw of none is known, they are spread over the order of their names.
    """
    numbered = [error for error in errors if not error.reason]
    known = [error for error in numbered if np.isfinite(error.yaw_deg)] or numbered
    known.sort(key=lambda error: (np.nan_to_num(abs(error.yaw_deg)), error.face_id))
    if not known:
        return []
    ranks = np.unique(np.linspace(0, len(known) - 1, count).round().astype(int))
    return [known[rank].face_id for rank in ranks]


def read_dataset_faces(
    faces: EvalDataset, chosen: Sequence[str], size: int, listed: pa.Table | None = None
) -> list[GroundTruthFace]:
    """Faces by ``face_id``, in that order, their crops of ``size`` px.

    One whose files are no longer there is left out with a warning.

    Args:
        faces: the set.
        chosen: of its faces.
        size: px.
        listed: rows of the set, where they are known; else it is listed.
    """
    rows = faces.list_faces().rows if listed is None else listed
    wanted = pc.is_in(rows["face_id"], value_set=pa.array(chosen, pa.string()))
    found = {}
    # In the order of the list: a set keeps open what neighbours have in common.
    for row in rows.filter(wanted).to_pylist():
        try:
            found[row["face_id"]] = faces.read(row, size)
        except FaceRejectedError as error:
            _LOG.warning("%s is not shown: %s", row["face_id"], error)
    return [found[face_id] for face_id in chosen if face_id in found]


def make_examples(
    weights: Mapping[str, Path],
    faces: EvalDataset,
    errors: Sequence[FaceError],
    chosen: Sequence[str],
    protocol: Protocol,
    listed: pa.Table | None = None,
) -> list[Example]:
    """What every model makes of a few faces, measured again with every point's distance.

    Args:
        weights: local files by the models' names.
        faces: the set.
        errors: of one model on it, for the yaws.
        chosen: faces, by ``face_id``; their order is kept.
        protocol: of the evaluation.
        listed: rows of the set, where they are known; else it is listed.
    """
    yaws = {error.face_id: error.yaw_deg for error in errors}
    examples: dict[str, Example] = {}
    read: dict[int, list[GroundTruthFace]] = {}
    for name, path in weights.items():
        network = load_network(path)
        size = network.config.resolution
        if size not in read:
            read[size] = read_dataset_faces(faces, chosen, size, listed)
        predictor = Predictor(network, InferenceConfig(), batch_size=1)
        for face, volume in _predict(predictor, read[size]):
            example = examples.setdefault(
                face.face_id, Example(face.face_id, yaws[face.face_id], face.image, {})
            )
            seen = _look(face, volume, protocol)
            if seen is not None:
                example.seen[name] = seen
    return [examples[face_id] for face_id in chosen if face_id in examples]


def _predict(
    predictor: Predictor, faces: list[GroundTruthFace]
) -> Iterator[tuple[GroundTruthFace, np.ndarray]]:
    # One volume at a time: at full size each takes 30 MB.
    for face in faces:
        yield face, predictor.predict(face.image[None])[0]


def _look(face: GroundTruthFace, volume: np.ndarray, protocol: Protocol) -> EvaluatedFace | None:
    """A reconstruction with the truth laid onto it; None where there is nothing to see."""
    try:
        solid = keep_largest_component(volume)
        mesh = extract_surface(solid)
        placed = align_ground_truth(face, mesh) if face.landmarks is not None else face
        compared = Comparison(mesh, placed.shape, placed.interocular, protocol)
        distances = compared.from_truth("icp") / placed.interocular
        thin = extract_surface(solid, cell=max(1, round(volume.shape[-1] / _THIN)))
        return EvaluatedFace(placed, mesh, thin, distances, compared.motion)
    except (DegenerateInputError, ShapeError) as error:
        _LOG.warning("%s is shown without a shape: %s", face.face_id, error)
        return None
