"""Scans of heads as ground truth: the part that is measured, and its alignment with a photo.

Where a photo has landmarks, a scaled orthographic camera is fitted to them and those of the scan.
Where it has none, the face detector determines the crop, and each model's shape the alignment.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from scipy.spatial import cKDTree

from rayboot.data.detector import FaceDetector, crop_from_detection
from rayboot.errors import DegenerateInputError, FaceRejectedError, ShapeError
from rayboot.evaluate.datasets.base import GroundTruthFace
from rayboot.evaluate.datasets.region import RegionConfig, region_mask
from rayboot.evaluate.metrics.detail import find_nose
from rayboot.geometry.alignment import fit_similarity
from rayboot.geometry.camera import crop_from_pixel, gaze_angles
from rayboot.geometry.crop import apply_affine, landmark_crop, warp_photo
from rayboot.geometry.head_model import mean_landmarks
from rayboot.geometry.landmarks68 import NUM_JAW, interocular_distance
from rayboot.geometry.mesh import Mesh, extract_submesh
from rayboot.geometry.orthographic_camera import fit_orthographic

__all__ = ["Scan", "cut_scan", "make_true_face", "require_detector"]

_UPPER_LANDMARKS = slice(17, 48)
"""Brows, nose and eyes, which do not move when the mouth opens."""

_EYE_CORNERS = (36 - _UPPER_LANDMARKS.start, 45 - _UPPER_LANDMARKS.start)
"""Indices of the outer eye corners among the upper landmarks."""

_MAX_LANDMARK_RESIDUAL = 0.2
"""Maximum mean distance of a face's upper landmarks from the mean face's, in outer eye distances.
It is at most 0.08 in 20 files of MICC Florence and 0.10 in 450 of AFLW2000-3D, and 0.48 where eyes
and brows are swapped."""

_MAX_LANDMARK_DISTANCE = 0.2
"""Maximum of the median distance of a landmark from the scan's closest vertex, in outer eye
distances."""


class Scan(NamedTuple):
    """The part of a scan that is measured.

    Attributes:
        vertices: (N, 3) float64, unit and frame of the scan.
        triangles: (F, 3) int32, indices of the vertices; None where the scan consists of points.
        landmarks: (68, 3) float64, landmarks of the whole scan.
        gaze: (3,) unit vector, the direction in which the face looks.
    """

    vertices: np.ndarray
    triangles: np.ndarray | None
    landmarks: np.ndarray
    gaze: np.ndarray


def cut_scan(mesh: Mesh, landmarks: np.ndarray, region: RegionConfig) -> Scan:
    """Cuts a whole scan to the part that is measured.

    Args:
        mesh: The whole scan; its triangles may be empty.
        landmarks: (68, 3), iBUG order, frame and unit of the mesh.
        region: Vertices that are measured; those without a triangle are dropped.

    Raises:
        DegenerateInputError: The landmarks are not a face in iBUG order, or have another frame or
            unit than the mesh, or the region is empty.
        RequestError: The region's file does not match the mesh.
    """
    gaze = _estimate_gaze(landmarks)
    distance = np.median(cKDTree(mesh.vertices).query(landmarks)[0])
    relative_distance = distance / interocular_distance(landmarks)
    if relative_distance > _MAX_LANDMARK_DISTANCE:
        raise DegenerateInputError(
            f"half of the landmarks are over {relative_distance:.2g} outer eye distances away from "
            f"the mesh, expected at most {_MAX_LANDMARK_DISTANCE}; are both of one frame and unit?"
        )
    kept = region_mask(region, mesh.vertices, landmarks)
    if len(mesh.faces) == 0:
        return Scan(mesh.vertices[kept], None, landmarks, gaze)
    used = np.zeros(len(kept), bool)
    used[mesh.faces[kept[mesh.faces].all(axis=1)]] = True
    if not used.any():
        raise DegenerateInputError(f"no triangle lies in the region ({region.describe()})")
    part = extract_submesh(mesh, kept & used)
    return Scan(part.vertices, part.faces, landmarks, gaze)


def _estimate_gaze(landmarks: np.ndarray) -> np.ndarray:
    """Returns the gaze of a face from its landmarks, as the axes of a scan are arbitrary."""
    if not interocular_distance(landmarks) > 0:
        raise DegenerateInputError("the outer eye corners coincide")
    mean, upper = mean_landmarks()[_UPPER_LANDMARKS], landmarks[_UPPER_LANDMARKS]
    residual = _fit_residual(mean, upper)
    mirrored_residual = _fit_residual(mean * (-1, 1, 1), upper)
    if min(residual, mirrored_residual) > _MAX_LANDMARK_RESIDUAL:
        raise DegenerateInputError(
            "the 68 landmarks are not a face in iBUG order: their mean distance from the mean "
            f"face's is {residual:.2f} outer eye distances, expected at most "
            f"{_MAX_LANDMARK_RESIDUAL}"
        )
    # Each of 470 real faces is twice as far from its mirror image.
    if mirrored_residual < residual:
        raise DegenerateInputError(
            "the 68 landmarks are those of a mirrored face; the frame must be right-handed and the "
            "first landmarks at the person's right"
        )
    return fit_similarity(mean, upper).rotation[:, 2]


def _fit_residual(mean: np.ndarray, upper: np.ndarray) -> float:
    """Returns the mean distance after a similarity fit, in outer eye distances."""
    fitted = fit_similarity(mean, upper)
    residual = np.linalg.norm(fitted.apply(mean) - upper, axis=1).mean()
    return float(residual / np.linalg.norm(upper[_EYE_CORNERS[1]] - upper[_EYE_CORNERS[0]]))


def require_detector() -> None:
    """Loads the face detector.

    Raises:
        RequestError: It is not installed.
    """
    _load_detector()


@lru_cache(maxsize=1)
def _load_detector() -> FaceDetector:
    return FaceDetector()


def make_true_face(
    face_id: str,
    photo: np.ndarray,
    scan: Scan,
    landmarks: np.ndarray | None,
    size: int,
    yaw_deg: float | None = None,
) -> GroundTruthFace:
    """Returns the crop of a photo with the scan as truth.

    Args:
        face_id: Id of the face.
        photo: (H, W, 3) uint8 RGB.
        scan: Scan of the person.
        landmarks: (68, 2) px of the photo, column and row, by which the scan is aligned; None: the
            largest detected face determines the crop, and the scan stays in its own frame.
        size: Size of the crop, px.
        yaw_deg: Yaw of the true pose, where it is known better than from a fit.

    Raises:
        FaceRejectedError: No face is detected, or the landmarks are degenerate.
    """
    try:
        if landmarks is None:
            affine = crop_from_detection(_load_detector().detect(photo)[0], size)
            image = warp_photo(photo, affine, size)
            return _unaligned_face(face_id, image, scan, yaw_deg)
        affine = landmark_crop(landmarks, size)
        image = warp_photo(photo, affine, size)
        crop_landmarks = crop_from_pixel(apply_affine(affine, landmarks), size, size)
        return _aligned_face(face_id, image, scan, crop_landmarks, yaw_deg)
    except (DegenerateInputError, ShapeError) as error:
        raise FaceRejectedError("landmarks", "degenerate", f"{face_id}: {error}") from error


def _unaligned_face(
    face_id: str, image: np.ndarray, scan: Scan, yaw_deg: float | None
) -> GroundTruthFace:
    return GroundTruthFace(
        face_id,
        image,
        scan.vertices,
        interocular_distance(scan.landmarks),
        float("nan") if yaw_deg is None else yaw_deg,
        scan.triangles,
        scan.landmarks,
        find_nose(scan.vertices, scan.landmarks),
    )


def _aligned_face(
    face_id: str, image: np.ndarray, scan: Scan, crop_landmarks: np.ndarray, yaw_deg: float | None
) -> GroundTruthFace:
    """Aligns a scan with its landmarks (68, 2) in the frame of the crop."""
    # The jaw landmarks slide along its contour.
    camera = fit_orthographic(scan.landmarks[NUM_JAW:], crop_landmarks[NUM_JAW:])
    vertices = camera.transform(scan.vertices)
    # A photo leaves the distance of a face unknown, so its depth is centred.
    vertices[:, 2] -= vertices[:, 2].mean()
    if yaw_deg is None:
        yaw_deg = float(np.degrees(gaze_angles(camera.rotation @ scan.gaze)[0]))
    return GroundTruthFace(
        face_id,
        image,
        vertices,
        camera.scale * interocular_distance(scan.landmarks),
        yaw_deg,
        scan.triangles,
        nose=find_nose(scan.vertices, scan.landmarks),
    )
