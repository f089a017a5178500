"""A scan of a head beside a photo of it: the part that is measured, and where it belongs.

Where a photo has landmarks, those of the scan say how a scaled orthographic camera saw it.
Where it has none, the face detector gives the crop, and each model's shape tells the place.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from scipy.spatial import cKDTree

from rayboot.data.detector import FaceDetector, crop_from_detection
from rayboot.errors import DegenerateInputError, FaceRejectedError, ShapeError
from rayboot.evaluate.datasets.base import GroundTruthFace
from rayboot.evaluate.datasets.region import RegionConfig, region_mask
from rayboot.geometry.alignment import fit_similarity
from rayboot.geometry.camera import crop_from_pixel, gaze_angles
from rayboot.geometry.crop import apply_affine, landmark_crop, warp_photo
from rayboot.geometry.landmarks68 import interocular_distance
from rayboot.geometry.mean_face import load_mean_face
from rayboot.geometry.mesh import Mesh, extract_submesh
from rayboot.geometry.orthographic_camera import fit_orthographic

__all__ = ["Scan", "cut_scan", "require_detector", "true_face"]

_JAW = 17
"""The first landmarks slide along the jaw's contour."""

_UPPER = slice(17, 48)
"""Brows, nose and eyes, which an open mouth leaves where they are."""

_CORNERS = (36 - _UPPER.start, 45 - _UPPER.start)

_MOST_UNLIKE = 0.2
"""Mean distance of a face's upper landmarks from the mean face's, in outer eye distances: 0.08 at
most in 20 files of MICC Florence, 0.10 in 450 of AFLW2000-3D; 0.48 where eyes and brows are
swapped."""

_FARTHEST = 0.2
"""Of a landmark from the scan's closest vertex, in outer eye distances; median of all."""


class Scan(NamedTuple):
    """The part of a scan that is measured.

    Attributes:
        vertices: (N, 3) float64, unit and frame of the scan.
        triangles: (F, 3) int32, None where there are only points.
        landmarks: (68, 3) float64, of the whole scan.
        gaze: (3,) unit vector, where the face looks.
    """

    vertices: np.ndarray
    triangles: np.ndarray | None
    landmarks: np.ndarray
    gaze: np.ndarray


def cut_scan(mesh: Mesh, landmarks: np.ndarray, region: RegionConfig) -> Scan:
    """The measured part of a whole scan.

    Args:
        mesh: all of it; its triangles may be empty.
        landmarks: (68, 3), iBUG order, frame and unit of the mesh.
        region: which vertices; those that no triangle uses are left out.

    Raises:
        DegenerateInputError: the landmarks are no face in iBUG order, or of another frame or unit
            than the mesh, or the region is empty.
        RequestError: the region's file does not fit the mesh.
    """
    gaze = _gaze(landmarks)
    away = np.median(cKDTree(mesh.vertices).query(landmarks)[0]) / interocular_distance(landmarks)
    if away > _FARTHEST:
        raise DegenerateInputError(
            f"half the landmarks lie over {away:.2g} outer eye distances off the mesh; are both "
            "of one frame and unit?"
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


def _gaze(landmarks: np.ndarray) -> np.ndarray:
    """Where a face looks, from its landmarks: a scan's own axes may be any."""
    if not interocular_distance(landmarks) > 0:
        raise DegenerateInputError("the outer eye corners are at one place")
    model, upper = load_mean_face().landmarks[_UPPER], landmarks[_UPPER]
    unlike, mirrored = _unlike(model, upper), _unlike(model * (-1, 1, 1), upper)
    if min(unlike, mirrored) > _MOST_UNLIKE:
        raise DegenerateInputError(
            f"the 68 landmarks are no face in iBUG order: they lie {unlike:.2f} outer eye "
            f"distances from the mean face's, {_MOST_UNLIKE} are plausible"
        )
    # Of 470 real faces each is twice as far from its mirror image.
    if mirrored < unlike:
        raise DegenerateInputError(
            "the 68 landmarks are those of a mirrored face; the frame must be right-handed and the "
            "first landmarks at the person's right"
        )
    return fit_similarity(model, upper).rotation[:, 2]


def _unlike(model: np.ndarray, upper: np.ndarray) -> float:
    fitted = fit_similarity(model, upper)
    apart = np.linalg.norm(fitted.apply(model) - upper, axis=1).mean()
    return float(apart / np.linalg.norm(upper[_CORNERS[1]] - upper[_CORNERS[0]]))


def require_detector() -> None:
    """Has the detector ready.

    Raises:
        RequestError: it is not installed.
    """
    _detector()


@lru_cache(maxsize=1)
def _detector() -> FaceDetector:
    return FaceDetector()


def true_face(
    face_id: str,
    photo: np.ndarray,
    scan: Scan,
    landmarks: np.ndarray | None,
    size: int,
    yaw_deg: float | None = None,
) -> GroundTruthFace:
    """A photo's crop with the scan for truth.

    Args:
        face_id: of the photo.
        photo: (H, W, 3) uint8 RGB.
        scan: of the person.
        landmarks: (68, 2) px of the photo, column and row, which place the scan; None: the
            largest face that is found gives the crop, and the scan stays in its own frame.
        size: of the crop, px.
        yaw_deg: of the true pose, where it is known better than a fit can tell.

    Raises:
        FaceRejectedError: no face is found, or the landmarks are degenerate.
    """
    try:
        if landmarks is None:
            affine = crop_from_detection(_detector().detect(photo)[0], size)
            image = warp_photo(photo, affine, size)
            return _unplaced(face_id, image, scan, yaw_deg)
        affine = landmark_crop(landmarks, size)
        image = warp_photo(photo, affine, size)
        plane = crop_from_pixel(apply_affine(affine, landmarks), size, size)
        return _placed(face_id, image, scan, plane, yaw_deg)
    except (DegenerateInputError, ShapeError) as error:
        raise FaceRejectedError("landmarks", "degenerate", f"{face_id}: {error}") from error


def _unplaced(
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
    )


def _placed(
    face_id: str, image: np.ndarray, scan: Scan, plane: np.ndarray, yaw_deg: float | None
) -> GroundTruthFace:
    """The scan as a camera saw it whose landmarks are at ``plane`` (68, 2) of the crop's frame."""
    camera = fit_orthographic(scan.landmarks[_JAW:], plane[_JAW:])
    vertices = camera.transform(scan.vertices)
    # How far away a face is, a photo leaves open.
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
    )
