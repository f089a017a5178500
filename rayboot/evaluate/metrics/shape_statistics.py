"""Statistics of a network's predicted shapes, without ground truth.

A network that is trained on its own predictions can drift from round to round: all faces become
more alike, left and right are treated differently, or shapes shrink, while the mean error stays
small. Three statistics over a set of photos detect this.
"""

from typing import NamedTuple

import numpy as np

from rayboot.errors import DegenerateInputError, RequestError
from rayboot.geometry.isosurface import extract_surface
from rayboot.geometry.pose import FacePose, estimate_pose
from rayboot.geometry.volume import keep_largest_component, transform_volume
from rayboot.models import Reconstructor
from rayboot.models.network_config import InferenceConfig
from rayboot.models.predictor import Predictor

__all__ = ["MIN_FACES", "ShapeStatistics", "compute_shape_statistics", "measure_shapes"]

_BATCH_SIZE = 8
_POSE_CELL_PX = 2
"""Cell size of the surface that the pose is estimated from; a finer one changes nothing."""

MIN_FACES = 4
"""Smallest number of faces that have statistics."""


class ShapeStatistics(NamedTuple):
    """Statistics of the shapes that a network predicts for a set of photos.

    Attributes:
        num_shapes: Number of shapes that were measured.
        spread: How much two faces differ: mean number of voxels in which two shapes, both rotated
            to a frontal pose, disagree, divided by the mean number of voxels of a shape. It is 0
            where every face is the mean face.
        mirror: Mean intersection over union of a crop's shape with the shape of the mirrored crop,
            mirrored back. It is 1 for a network that treats both sides alike.
        volume: Mean fraction of the volume that a shape fills.
    """

    num_shapes: int
    spread: float
    mirror: float
    volume: float


def measure_shapes(
    network: Reconstructor, crops: np.ndarray, transforms: np.ndarray | None = None
) -> ShapeStatistics:
    """Predicts the shapes of crops and returns their statistics.

    Args:
        network: Network, on its device.
        crops: (N, S, S, 3) uint8 RGB, faces of different people.
        transforms: (N, 3, 4) float64, from the frame of each face's near-frontal photo to that of
            its crop, px; None where the crops themselves are near-frontal.

    Raises:
        RequestError: Fewer than four crops have a shape whose pose can be estimated.
    """
    predictor = Predictor(network, InferenceConfig(), _BATCH_SIZE)
    frontal, mirror_ious, volume_fractions = [], [], []
    for start in range(0, len(crops), _BATCH_SIZE):
        part = crops[start : start + _BATCH_SIZE]
        shapes = predictor.predict(part)
        mirrored = predictor.predict(np.ascontiguousarray(part[:, :, ::-1]))[..., ::-1]
        for number, (shape, other) in enumerate(zip(shapes, mirrored, strict=True), start):
            mirror_ious.append(_iou(shape >= 0.5, other >= 0.5))
            volume_fractions.append(float((shape >= 0.5).mean()))
            if transforms is not None:
                shape = transform_volume(shape, _invert(transforms[number]))
            rotated = _rotate_to_frontal(shape)
            if rotated is not None:
                frontal.append(rotated)
    return compute_shape_statistics(frontal, mirror_ious, volume_fractions)


def compute_shape_statistics(
    frontal: list[np.ndarray], mirror_ious: list[float], volume_fractions: list[float]
) -> ShapeStatistics:
    """Returns the statistics of given shapes.

    Args:
        frontal: Shapes (D, H, W) bool, rotated to a frontal pose.
        mirror_ious: Intersection over union of each shape with that of the mirrored crop.
        volume_fractions: Fraction of the volume that each shape fills.

    Raises:
        RequestError: Fewer than four shapes are given.
    """
    if len(frontal) < MIN_FACES:
        raise RequestError(
            f"shape statistics require at least {MIN_FACES} near-frontal faces whose pose can be "
            f"estimated, got {len(frontal)}; give more photos"
        )
    count = len(frontal)
    occupied_fraction = np.mean(frontal, axis=0, dtype=np.float64)
    # Expected disagreement of two different shapes, drawn without replacement.
    disagreement = 2 * (occupied_fraction * (1 - occupied_fraction)).sum() * count / (count - 1)
    return ShapeStatistics(
        len(mirror_ious),
        float(disagreement / occupied_fraction.sum()),
        float(np.mean(mirror_ious)),
        float(np.mean(volume_fractions)),
    )


def _iou(first: np.ndarray, second: np.ndarray) -> float:
    union = np.count_nonzero(first | second)
    return np.count_nonzero(first & second) / union if union else 1.0


def _rotate_to_frontal(shape: np.ndarray) -> np.ndarray | None:
    """Rotates a shape to a frontal pose at the volume's centre; None where it has no pose."""
    solid = keep_largest_component(shape)
    try:
        pose = estimate_pose(extract_surface(solid, cell=_POSE_CELL_PX).vertices)
    except (DegenerateInputError, ValueError):
        return None
    return transform_volume(solid, _frontal_from_pose(pose)) >= 0.5


def _frontal_from_pose(pose: FacePose) -> np.ndarray:
    """Returns the transform (3, 4) of the pose's axes to the frame's, and its centroid to 0."""
    rotation = np.stack([pose.symmetry_normal, pose.up, pose.gaze])
    return np.column_stack([rotation, -rotation @ pose.centroid])


def _invert(transform: np.ndarray) -> np.ndarray:
    inverse = np.linalg.inv(transform[:, :3])
    return np.column_stack([inverse, -inverse @ transform[:, 3]])
