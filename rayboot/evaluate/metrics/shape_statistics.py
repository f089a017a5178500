"""What a network's shapes are like as a whole, without any truth.

A network that learns from its own shapes can lose what tells faces apart, or its sense of
left and right, or shrink, round by round, and still err little on average. Three figures
over a set of photos tell.
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

__all__ = ["ShapeStatistics", "compute_shape_statistics", "measure_shapes"]

_AT_ONCE = 8
_CELL_PX = 2
"""The pose needs no finer surface."""

_FEWEST = 4


class ShapeStatistics(NamedTuple):
    """Of the shapes that a network predicts for a set of photos.

    Attributes:
        num_shapes: that were measured.
        spread: how much two faces differ: voxels in which two shapes, looking straight
            ahead, disagree on average, over the voxels of one. Falls to 0 where every face
            becomes the mean face.
        mirror: intersection over union of a photo's shape with that of its mirror image,
            mirrored back. 1 is a network that treats both sides alike.
        volume: share of the volume that a shape fills.
    """

    num_shapes: int
    spread: float
    mirror: float
    volume: float


def measure_shapes(network: Reconstructor, crops: np.ndarray) -> ShapeStatistics:
    """Statistics of the shapes of photos.

    Args:
        network: on its device.
        crops: (N, S, S, 3) uint8 RGB, near-frontal, of different people.

    Raises:
        RequestError: fewer than four photos have a shape whose pose is found.
    """
    predictor = Predictor(network, InferenceConfig(), _AT_ONCE)
    ahead, overlaps, volumes = [], [], []
    for start in range(0, len(crops), _AT_ONCE):
        part = crops[start : start + _AT_ONCE]
        shapes = predictor.predict(part)
        mirrored = predictor.predict(np.ascontiguousarray(part[:, :, ::-1]))[..., ::-1]
        for shape, other in zip(shapes, mirrored, strict=True):
            overlaps.append(_overlap(shape >= 0.5, other >= 0.5))
            volumes.append(float((shape >= 0.5).mean()))
            facing = _face_camera(shape)
            if facing is not None:
                ahead.append(facing)
    return compute_shape_statistics(ahead, overlaps, volumes)


def compute_shape_statistics(
    ahead: list[np.ndarray], overlaps: list[float], volumes: list[float]
) -> ShapeStatistics:
    """The statistics of shapes that are there already.

    Args:
        ahead: (D, H, W) bool each, looking straight ahead.
        overlaps: of each shape with that of the mirrored photo.
        volumes: share that each fills.
    """
    if len(ahead) < _FEWEST:
        raise RequestError(
            f"expected at least {_FEWEST} near-frontal faces to describe shapes by, got "
            f"{len(ahead)}; give more photos"
        )
    count = len(ahead)
    share = np.mean(ahead, axis=0, dtype=np.float64)
    # Of two shapes drawn without putting the first one back.
    disagreement = 2 * (share * (1 - share)).sum() * count / (count - 1)
    return ShapeStatistics(
        len(overlaps),
        float(disagreement / share.sum()),
        float(np.mean(overlaps)),
        float(np.mean(volumes)),
    )


def _overlap(first: np.ndarray, second: np.ndarray) -> float:
    union = np.count_nonzero(first | second)
    return np.count_nonzero(first & second) / union if union else 1.0


def _face_camera(shape: np.ndarray) -> np.ndarray | None:
    """The shape turned to look at the camera from the middle; None where it has no pose."""
    solid = keep_largest_component(shape)
    try:
        pose = estimate_pose(extract_surface(solid, cell=_CELL_PX).vertices)
    except (DegenerateInputError, ValueError):
        return None
    return transform_volume(solid, _facing(pose)) >= 0.5


def _facing(pose: FacePose) -> np.ndarray:
    """(3, 4) that carries the pose's axes to the frame's and its centroid to the middle."""
    rotation = np.stack([pose.symmetry_normal, pose.up, pose.gaze])
    return np.column_stack([rotation, -rotation @ pose.centroid])
