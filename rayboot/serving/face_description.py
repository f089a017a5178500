"""What the API says about a face besides its mesh: place, landmarks, pose."""

from typing import Any

import numpy as np

from rayboot.data.detector import Detection
from rayboot.errors import DegenerateInputError
from rayboot.geometry.physical_size import MeshUnit, units_per_pixel
from rayboot.geometry.pose import FacePose
from rayboot.inference.reconstruction import Reconstruction

__all__ = ["describe_detection", "describe_face"]


def describe_detection(number: int, detection: Detection) -> dict[str, Any]:
    """Returns the place of a face in the photo as JSON values."""
    return {
        "face": number,
        "box": _round(detection.box, 2),
        "score": round(detection.score, 4),
    }


def describe_face(number: int, face: Reconstruction, unit: MeshUnit) -> dict[str, Any]:
    """Returns crop, landmarks and pose of a face as JSON values.

    Landmarks are null where the pose is uncertain, both where the shape is too degenerate for one.

    Args:
        number: number of the face, the largest of the photo being 1.
        face: the face.
        unit: unit of the landmarks on the mesh.
    """
    size = face.crop.shape[0]
    scale = units_per_pixel(unit, size)
    pose = _find_pose(face)
    return {
        "face": number,
        "crop_size": size,
        "crop_from_photo": _round(face.crop_from_photo, 6),
        "units_per_pixel": scale,
        "landmarks": None if pose is None else _describe_landmarks(face, scale),
        "pose": None if pose is None else _describe_pose(pose),
    }


def _find_pose(face: Reconstruction) -> FacePose | None:
    try:
        return face.pose
    except (DegenerateInputError, ValueError):
        return None


def _describe_landmarks(face: Reconstruction, scale: float) -> dict[str, Any] | None:
    points = face.landmarks
    if points is None:
        return None
    return {"mesh": _round(scale * points, 6), "photo": _round(face.to_photo(points), 2)}


def _describe_pose(pose: FacePose) -> dict[str, Any]:
    roll = np.arctan2(-pose.up[0], pose.up[1])
    return {
        "yaw_deg": round(pose.yaw_deg, 2),
        "pitch_deg": round(pose.pitch_deg, 2),
        "roll_deg": round(float(np.degrees(roll)), 2),
        "gaze": _round(pose.gaze, 5),
        "up": _round(pose.up, 5),
        "symmetry_normal": _round(pose.symmetry_normal, 5),
        "confidence": round(pose.confidence, 4),
    }


def _round(values: np.ndarray, digits: int) -> Any:
    return np.round(np.asarray(values, np.float64), digits).tolist()
