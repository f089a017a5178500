"""What the API says about a face besides its mesh: place, landmarks, pose."""

from typing import Any

import numpy as np

from rayboot.data.detector import Detection
from rayboot.errors import DegenerateInputError
from rayboot.geometry.camera import gaze_angles, pixel_from_crop
from rayboot.geometry.crop import apply_affine, invert_affine
from rayboot.geometry.mesh import Mesh
from rayboot.geometry.pose import FacePose, estimate_pose, landmarks_from_pose
from rayboot.serving.face_finder import CroppedFace

__all__ = ["describe_detection", "describe_face"]


def describe_detection(number: int, detection: Detection) -> dict[str, Any]:
    """Returns the place of a face in the photo as JSON values."""
    return {
        "face": number,
        "box": _round(detection.box, 2),
        "score": round(detection.score, 4),
    }


def describe_face(face: CroppedFace, mesh: Mesh) -> dict[str, Any]:
    """Returns crop, landmarks and pose of a face as JSON values.

    Landmarks are those of the mean face in the pose of the shape: the network predicts none. Both
    are null where the shape is too degenerate for a pose.

    Args:
        face: the crop that the mesh was reconstructed from.
        mesh: its mesh, in the frame of :mod:`rayboot.geometry.camera`.
    """
    pose = _estimate_pose(mesh)
    return {
        "face": face.number,
        "crop_size": face.crop.shape[0],
        "crop_from_photo": _round(face.crop_from_photo, 6),
        "landmarks": None if pose is None else _describe_landmarks(face, pose),
        "pose": None if pose is None else _describe_pose(pose),
    }


def _estimate_pose(mesh: Mesh) -> FacePose | None:
    try:
        return estimate_pose(mesh.vertices)
    except (DegenerateInputError, ValueError):
        return None


def _describe_landmarks(face: CroppedFace, pose: FacePose) -> dict[str, Any]:
    points = landmarks_from_pose(pose)
    size = face.crop.shape[0]
    pixels = pixel_from_crop(points, size, size)
    in_photo = apply_affine(invert_affine(face.crop_from_photo), pixels)
    return {"mesh": _round(points, 3), "photo": _round(in_photo, 2)}


def _describe_pose(pose: FacePose) -> dict[str, Any]:
    yaw, pitch = gaze_angles(pose.gaze)
    roll = np.arctan2(-pose.up[0], pose.up[1])
    return {
        "yaw_deg": round(float(np.degrees(yaw)), 2),
        "pitch_deg": round(float(np.degrees(pitch)), 2),
        "roll_deg": round(float(np.degrees(roll)), 2),
        "gaze": _round(pose.gaze, 5),
        "up": _round(pose.up, 5),
        "symmetry_normal": _round(pose.symmetry_normal, 5),
        "confidence": round(pose.confidence, 4),
    }


def _round(values: np.ndarray, digits: int) -> Any:
    return np.round(np.asarray(values, np.float64), digits).tolist()
