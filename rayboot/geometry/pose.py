"""Pose of a face solid: normal of the symmetry plane, gaze and up.

The paper's method takes them from the covariance of the vertices. That fails
where the solid is about as deep as it is wide, because two eigenvalues coincide
and the axes mix, and it follows whatever the solid was cut out of the head. Here
a regressor that has seen many cuts gives the pose, and the plane of symmetry is
refined by registering the front with its own reflection. Where the front hardly
tells the pitch, the photo's landmarks do.
"""

from typing import Literal, NamedTuple

import numpy as np
from scipy.spatial.transform import Rotation

from rayboot.errors import DegenerateInputError, ShapeError
from rayboot.geometry.alignment import Similarity
from rayboot.geometry.camera import gaze_angles
from rayboot.geometry.head_model import mean_landmarks
from rayboot.geometry.landmarks68 import rotation_from_landmarks
from rayboot.geometry.pose_regressor import regress_pose
from rayboot.geometry.symmetry import refine_symmetry

__all__ = ["FacePose", "estimate_pose", "landmarks_from_pose"]

_MIN_VERTICES = 50

_CONFIDENT_ERROR_DEG = 5.0
"""The confidence estimates the probability that the gaze is off by no more."""

_LANDMARK_PITCH_ERROR = np.radians(5.0)
"""Expected error of the pitch by the landmarks alone, radians: 2.2 degrees for heads whose
landmarks are exact, and as much again between the conventions of data sets."""

_MAX_ASYMMETRY = 0.06
"""Asymmetry at which the confidence is zero, in outer eye distances; faces have 0.005 to 0.02."""


class FacePose(NamedTuple):
    """Axes of a face, unit vectors (3,) float64 in the frame of the crop.

    Attributes:
        symmetry_normal: normal of the plane of bilateral symmetry, towards +x.
        gaze: straight ahead; the backplane is orthogonal to it.
        up: ``gaze x symmetry_normal``.
        centroid: (3,) mean of the vertices, px.
        confidence: from 0 (the axes are arbitrary) to 1.
        mean_face: similarity from the mean head's frame to the solid's; None for the covariance.
    """

    symmetry_normal: np.ndarray
    gaze: np.ndarray
    up: np.ndarray
    centroid: np.ndarray
    confidence: float
    mean_face: Similarity | None = None

    @property
    def yaw_deg(self) -> float:
        """Yaw of the gaze, degrees: positive where the nose points to the viewer's right."""
        return float(np.degrees(gaze_angles(self.gaze)[0]))

    @property
    def pitch_deg(self) -> float:
        """Pitch of the gaze, degrees: positive where the nose points up."""
        return float(np.degrees(gaze_angles(self.gaze)[1]))

    @property
    def plane_offset(self) -> float:
        """Distance of the plane of symmetry from the origin along its normal, px.

        The mean of the vertices is on it only where both sides have equally many.
        """
        point = self.centroid if self.mean_face is None else self.mean_face.translation
        return float(point @ self.symmetry_normal)


def estimate_pose(
    vertices: np.ndarray,
    method: Literal["refined", "covariance"] = "refined",
    landmarks: np.ndarray | None = None,
) -> FacePose:
    """Returns the pose of a face solid that looks roughly (within 45 degrees) at the camera.

    Args:
        vertices: (N, 3), px, of the solid's whole surface or of its front.
        method: ``refined``, or the paper's ``covariance`` alone.
        landmarks: (68, 2) column and row in the photo or crop that the solid was reconstructed
            from, if it has landmarks; ``refined`` weighs their pitch against the shape's.

    Returns:
        The axes, with a confidence: for ``covariance`` from the gap between the eigenvalues,
        for ``refined`` a cautious estimate of the probability that the gaze is right within 5
        degrees, which falls to zero for shapes that are not symmetric.

    Raises:
        ShapeError: the vertices are not (N, 3); the landmarks are not (68, 2).
        DegenerateInputError: the vertices are fewer than 50, as of a speck instead of a face, or
            lie on a line or plane; or the landmarks lie on a line.
    """
    vertices = np.asarray(vertices, np.float64)
    if vertices.ndim != 2 or vertices.shape[1] != 3:
        raise ShapeError(f"expected vertices (N, 3), got {vertices.shape}")
    if len(vertices) < _MIN_VERTICES:
        raise DegenerateInputError(
            f"expected a face of at least {_MIN_VERTICES} vertices, got {len(vertices)}"
        )
    centroid = vertices.mean(axis=0)
    axes, gap = _principal_axes(vertices - centroid)
    if method == "covariance":
        return FacePose(axes[0], axes[2], axes[1], centroid, gap)
    frame, error = regress_pose(vertices)
    frame, asymmetry = refine_symmetry(vertices, frame)
    if landmarks is not None:
        frame, error = _weigh_pitch(frame, error, landmarks)
    normal, up, gaze = frame.rotation.T
    gaze_error = np.degrees(np.hypot(error[0], error[1]))
    # Cautious: a Laplace distribution of this standard deviation holds more within the bound.
    confidence = 1 - np.exp(-_CONFIDENT_ERROR_DEG / gaze_error)
    confidence *= 1 - min(asymmetry / _MAX_ASYMMETRY, 1.0)
    return FacePose(normal, gaze, up, centroid, float(confidence), frame)


def landmarks_from_pose(pose: FacePose) -> np.ndarray:
    """Returns the mean face's 68 landmarks on a solid, for photos that have no landmarks.

    Args:
        pose: pose of the solid, estimated with method ``refined``.

    Returns:
        (68, 3) float64, px, frame of the crop.

    Raises:
        DegenerateInputError: the pose was estimated from the covariance alone.
    """
    if pose.mean_face is None:
        raise DegenerateInputError(
            "the pose contains no registered mean face; estimate it with method='refined'"
        )
    return pose.mean_face.apply(mean_landmarks())


def _principal_axes(centred: np.ndarray) -> tuple[np.ndarray, float]:
    """Returns the rows normal, up, gaze from the covariance, and the gap of its eigenvalues.

    The eigenvectors are assigned to the axes by the frame: the face is upright
    and looks roughly at the camera.
    """
    values, vectors = np.linalg.eigh(centred.T @ centred / len(centred))
    if values[0] <= 1e-9 * values[2]:
        raise DegenerateInputError("the vertices lie on a plane or line; a face solid was expected")
    gap = float(min(values[1] / values[0], values[2] / values[1]) - 1)
    rows = vectors.T
    best = max(
        ((0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)),
        key=lambda order: float(np.abs(rows[list(order)]).trace()),
    )
    axes = rows[list(best)]
    axes = axes * np.where(np.diag(axes) < 0, -1.0, 1.0)[:, None]
    return axes, min(gap, 1.0)


def _weigh_pitch(
    frame: Similarity, error: np.ndarray, landmarks: np.ndarray
) -> tuple[Similarity, np.ndarray]:
    """Pitches the frame towards the landmarks' pose as far as they are the better witness.

    The plane of symmetry is left where it is: the shape tells it better than landmarks do.

    Args:
        frame: from the mean head's frame to the solid's.
        error: (3,) expected standard deviations of its rotation's errors, radians.
        landmarks: (68, 2) column and row.

    Returns:
        The frame, and its expected errors.
    """
    difference = Rotation.from_matrix(frame.rotation.T @ rotation_from_landmarks(landmarks))
    own, other = error[0] ** -2, _LANDMARK_PITCH_ERROR**-2
    pitch = difference.as_rotvec()[0] * other / (own + other)
    turned = frame.rotation @ Rotation.from_rotvec([pitch, 0.0, 0.0]).as_matrix()
    weighed = np.array([(own + other) ** -0.5, error[1], error[2]])
    return frame._replace(rotation=turned), weighed
