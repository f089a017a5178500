import json
from pathlib import Path

import numpy as np
import pytest
import trimesh
from scipy.spatial import cKDTree

from rayboot.data.ground_truth import decode_vertices, read_topology, read_truth
from rayboot.geometry.alignment import fit_similarity
from rayboot.geometry.camera import crop_from_pixel, gaze_angles, rotation_yaw_pitch
from rayboot.geometry.crop import apply_affine, landmark_crop
from rayboot.geometry.face_solid import build_face_solid
from rayboot.geometry.head_model import mean_landmarks
from rayboot.geometry.isosurface import extract_surface
from rayboot.geometry.pose import FacePose, estimate_pose
from rayboot.geometry.volume import unpack_occupancy
from rayboot.io.storage import join_uri, read_bytes
from rayboot.io.torch7 import read_torch7
from tests.synthesis.solids import soft_solid, soft_volume

DEPTHS = (50, 65, 85)


def angle_deg(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.degrees(np.arccos(np.clip(a @ b, -1, 1))))


@pytest.mark.parametrize("cell", [0, 1], ids=["full", "coarse"])
@pytest.mark.parametrize("depth", [50, pytest.param(65, marks=pytest.mark.slow), 85])
def test_pose_of_synthetic_heads(depth: float, cell: int) -> None:
    """Symmetry plane within 1 degree in the median and 3 at the 95th percentile, gaze 3 and 6."""
    normals, gazes = [], []
    for identity in range(24):
        solid = soft_solid(identity, depth)
        pose = estimate_pose(extract_surface(solid.volume, cell=cell).vertices)
        normals.append(angle_deg(pose.symmetry_normal, solid.sample.rotation[:, 0]))
        gazes.append(angle_deg(pose.gaze, solid.sample.rotation[:, 2]))
    assert np.median(normals) <= 1.0
    assert np.quantile(normals, 0.95) <= 3.0
    assert np.median(gazes) <= 3.0
    assert np.quantile(gazes, 0.95) <= 6.0


@pytest.mark.parametrize("depth", DEPTHS)
def test_pose_of_a_scanned_head(shared_dir: Path, depth: float) -> None:
    """The pose at every yaw is within the bounds of the 95th percentile.

    The median's bounds would be too strict: real heads are not symmetric, and two ways to
    estimate this head's plane from its 3D landmarks differ by a degree themselves.
    """
    for yaw_deg in (-30, -15, 0, 15, 30):
        pose, true = scan_pose(shared_dir, depth, yaw_deg)
        assert angle_deg(pose.symmetry_normal, true[:, 0]) <= 3.0
        assert angle_deg(pose.gaze, true[:, 2]) <= 6.0


def scan_pose(shared_dir: Path, depth: float, yaw_deg: float) -> tuple[FacePose, np.ndarray]:
    """Pose of the scan as a solid turned by a yaw, and the truth (columns normal, up, gaze)."""
    folder = shared_dir / "faces/scans/james"
    scan = trimesh.load(folder / "james.obj", process=False, force="mesh", skip_materials=True)
    annotation = json.loads((folder / "james.ljson").read_text())
    points = np.array(annotation["groups"]["LJSON"]["landmarks"]["points"], float)
    # From the order jaw, eyes, left brow, nose, right brow, mouth to that of iBUG.
    points = points[[*range(17), *range(29, 34), *range(43, 48), *range(34, 43), *range(17, 29),
                     *range(48, 68)]]  # fmt: skip
    # Without the jaw, whose landmarks slide along the contour.
    fitted = fit_similarity(points[17:], mean_landmarks()[17:])
    head, landmarks = fitted.apply(np.asarray(scan.vertices)), fitted.apply(points)
    upright = landmark_axes(landmarks)
    head, landmarks = head @ upright, landmarks @ upright
    middle = np.append(landmarks[17:, 0].mean(), [0.0, 0.0])
    head, landmarks = head - middle, landmarks - middle
    turn = rotation_yaw_pitch(np.radians(yaw_deg), 0)
    scale = landmark_crop((landmarks @ turn.T)[:, :2] * (1, -1), 96)[0, 0]
    solid = build_face_solid(head, np.asarray(scan.faces), landmarks[:17], depth / 2 / scale)
    shift = np.append(-scale * (landmarks @ turn.T)[:, :2].mean(axis=0), 0.0)
    volume = soft_volume(solid, np.column_stack([scale * turn, shift]), (100, 96, 96))
    return estimate_pose(extract_surface(volume, cell=1).vertices), turn


MIDDLE = (8, 27, 28, 29, 30, 33, 51, 57, 62, 66)
MIRRORED = (
    *zip(range(8), range(16, 8, -1), strict=True),
    *zip(range(17, 22), range(26, 21, -1), strict=True),
    *zip((31, 32), (35, 34), strict=True),
    *zip((36, 37, 38, 39, 40, 41), (45, 44, 43, 42, 47, 46), strict=True),
    *zip((48, 49, 50, 59, 58, 60, 61, 67), (54, 53, 52, 55, 56, 64, 63, 65), strict=True),
)


def landmark_axes(landmarks: np.ndarray) -> np.ndarray:
    """Columns normal, up, gaze: the points' best reflection, the mean face for the rest."""
    left, right = (list(side) for side in zip(*MIRRORED, strict=True))
    points = landmarks[[*left, *right, *MIDDLE]]
    reflected = landmarks[[*right, *left, *MIDDLE]]
    cross = (points - points.mean(axis=0)).T @ (reflected - reflected.mean(axis=0))
    # Normal of the plane whose reflection brings the points closest to their partners.
    normal = np.linalg.eigh(cross + cross.T)[1][:, 0]
    normal = normal * np.sign(normal[0])
    gaze = np.array([0.0, 0.0, 1.0]) - normal[2] * normal
    gaze = gaze / np.linalg.norm(gaze)
    return np.column_stack([normal, np.cross(gaze, normal), gaze])


def test_the_volume_is_the_shape_that_the_photo_shows(synthetic_set: str) -> None:
    """True vertices within the volume's depth are on its front, to about a voxel."""
    for row in read_truth(synthetic_set).to_pylist()[:8]:
        volume = unpack_occupancy(row["occupancy"], tuple(row["shape"])).astype(np.float32)
        surface = extract_surface(volume)
        vertices = decode_vertices(row["vertices"])
        inside = np.abs(vertices[:, 2]) < (volume.shape[0] - 1) / 4 - 1
        assert inside.mean() > 0.8
        distance, _ = cKDTree(surface.vertices).query(vertices[inside])
        assert np.median(distance) < 0.5
        assert np.quantile(distance, 0.95) < 2.0


def test_landmarks_of_photo_and_truth_agree(synthetic_set: str) -> None:
    for row in read_truth(synthetic_set).to_pylist()[:6]:
        payload = read_bytes(join_uri(synthetic_set, row["face_id"].replace(".jpg", ".t7")))
        pixels = read_torch7(payload)
        assert pixels.shape == (68, 2)
        plane = crop_from_pixel(apply_affine(np.reshape(row["crop"], (2, 3)), pixels), 96, 96)
        true = np.reshape(row["landmarks"], (68, 3))
        assert np.abs(plane - true[:, :2]).max() < 0.01
        # In depth the features, which are seen, are at the same place in every face.
        assert true[17:, 2].mean() == pytest.approx(96 / 8)


def test_poses_are_those_of_the_config(synthetic_set: str) -> None:
    rows = read_truth(synthetic_set).to_pylist()
    assert len(rows) == 24
    # The head also pitches and rolls, which moves the gaze's yaw a little.
    steps = {min((0, 10, 45, 75), key=lambda step: abs(abs(r["yaw_deg"]) - step)) for r in rows}
    assert steps == {0, 10, 45, 75}
    for row in rows:
        axes = np.array([row["symmetry_normal"], row["up"], row["gaze"]])
        assert np.allclose(axes @ axes.T, np.eye(3), atol=1e-5)
        yaw, pitch = np.degrees(gaze_angles(np.array(row["gaze"])))
        assert (yaw, pitch) == pytest.approx((row["yaw_deg"], row["pitch_deg"]), abs=1e-4)


def test_rotated_volumes_are_not_resampled(synthetic_set: str) -> None:
    """Every filled column of a frontal face is one run: there are no holes or small components."""
    rows = [r for r in read_truth(synthetic_set).to_pylist() if abs(r["yaw_deg"]) < 15]
    for row in rows[:4]:
        volume = unpack_occupancy(row["occupancy"], tuple(row["shape"]))
        starts = (np.diff(volume.astype(np.int8), axis=0, prepend=0) == 1).sum(axis=0)
        assert (starts <= 1).mean() > 0.99


def test_all_faces_share_their_triangles(synthetic_set: str) -> None:
    faces = read_topology(synthetic_set)
    row = read_truth(synthetic_set).to_pylist()[0]
    assert faces.max() < len(decode_vertices(row["vertices"]))
