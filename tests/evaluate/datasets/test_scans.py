import json
from pathlib import Path

import numpy as np
import pytest

from rayboot.data.detector import FaceDetector
from rayboot.data.images import decode_photo
from rayboot.data.mesh_files import decode_mesh
from rayboot.errors import DegenerateInputError, FaceRejectedError
from rayboot.evaluate.datasets.region import RegionConfig
from rayboot.evaluate.datasets.scans import cut_scan, make_true_face
from rayboot.geometry.mesh import Mesh
from tests.evaluate.datasets.synthetic_scans import (
    FACES,
    LANDMARKS,
    MILLIMETRES,
    TILT,
    VERTICES,
    crop_vertices,
    make_camera,
    make_photo,
    photo_landmarks,
)

MESH = Mesh(VERTICES, FACES)
ALL = RegionConfig()


def test_a_scan_is_cut_and_its_gaze_is_estimated() -> None:
    region = RegionConfig(kind="radius", own_radius=95)
    scan = cut_scan(MESH, LANDMARKS, region)
    distance = np.linalg.norm(scan.vertices - LANDMARKS[30], axis=1)
    assert 0 < len(scan.vertices) < len(VERTICES) and distance.max() <= 95
    assert scan.triangles is not None and scan.triangles.max() == len(scan.vertices) - 1
    assert scan.gaze == pytest.approx(TILT[:, 2], abs=0.02)


def test_vertices_without_a_triangle_are_dropped() -> None:
    loose = Mesh(np.vstack([VERTICES, LANDMARKS[30:31]]), FACES)
    assert len(cut_scan(loose, LANDMARKS, ALL).vertices) == len(np.unique(FACES))
    cloud = cut_scan(Mesh(VERTICES, np.empty((0, 3), int)), LANDMARKS, ALL)
    assert cloud.triangles is None and len(cloud.vertices) == len(VERTICES)


@pytest.mark.parametrize("yaw_deg", [-80, -35, 0, 20, 60])
@pytest.mark.parametrize("size", [96, 192])
def test_landmarks_align_the_scan_with_the_photo(yaw_deg: float, size: int) -> None:
    camera = make_camera(yaw_deg, 8)
    face = make_true_face(
        "a", make_photo(3), cut_scan(MESH, LANDMARKS, ALL), photo_landmarks(camera), size
    )
    used = np.unique(FACES)
    truth = crop_vertices(camera, size)[used]
    truth[:, 2] -= truth[:, 2].mean()
    assert face.vertices == pytest.approx(truth, abs=1e-4)
    assert face.landmarks is None and face.image.shape == (size, size, 3)
    assert face.yaw_deg == pytest.approx(yaw_deg, abs=2.5)
    ratio = np.ptp(truth[:, 1]) / np.ptp(camera.transform(VERTICES)[used, 1])
    eyes = np.linalg.norm(LANDMARKS[36] - LANDMARKS[45])
    assert face.interocular == pytest.approx(ratio * camera.scale * eyes, rel=1e-6)


def test_a_known_yaw_is_kept() -> None:
    scan = cut_scan(MESH, LANDMARKS, ALL)
    face = make_true_face(
        "a", make_photo(3), scan, photo_landmarks(make_camera(20)), 96, yaw_deg=33.0
    )
    assert face.yaw_deg == 33


def test_without_landmarks_the_detector_determines_the_crop(
    synthetic_set: str, detector: FaceDetector
) -> None:
    scan = cut_scan(MESH, LANDMARKS, ALL)
    photo = decode_photo(next(Path(synthetic_set).rglob("000000.jpg")).read_bytes())
    face = make_true_face("a", photo, scan, None, 96)
    assert face.image.shape == (96, 96, 3) and np.isnan(face.yaw_deg)
    assert face.landmarks is scan.landmarks and face.vertices is scan.vertices
    assert face.interocular == pytest.approx(MILLIMETRES, rel=0.01)
    with pytest.raises(FaceRejectedError, match="no face"):
        make_true_face("a", make_photo(3), scan, None, 96)


def test_degenerate_landmarks_reject_the_photo() -> None:
    scan = cut_scan(MESH, LANDMARKS, ALL)
    for landmarks in (np.full((68, 2), 9.0), np.outer(np.arange(68.0), [1, 1])):
        with pytest.raises(FaceRejectedError, match="degenerate: a: "):
            make_true_face("a", make_photo(3), scan, landmarks, 96)


@pytest.mark.parametrize(
    ("landmarks", "message"),
    [
        (LANDMARKS + 500, "one frame"),
        (LANDMARKS / 1000, "one frame"),
        (LANDMARKS[::-1], "not a face in iBUG order"),
        (LANDMARKS * 0, "coincide"),
        (np.random.default_rng(0).normal(size=(68, 3)), "not a face in iBUG order"),
    ],
)
def test_landmarks_of_another_mesh_are_refused(landmarks: np.ndarray, message: str) -> None:
    with pytest.raises(DegenerateInputError, match=message):
        cut_scan(MESH, landmarks, ALL)


def test_a_mirrored_frame_is_refused() -> None:
    mirrored = Mesh(VERTICES * (-1, 1, 1), FACES)
    with pytest.raises(DegenerateInputError, match="mirrored"):
        cut_scan(mirrored, LANDMARKS * (-1, 1, 1), ALL)


def test_a_region_outside_the_mesh_is_refused() -> None:
    tiny = RegionConfig(kind="radius", own_radius=0.01)
    with pytest.raises(DegenerateInputError, match="keeps"):
        cut_scan(MESH, LANDMARKS, tiny)


def test_real_landmarks_are_accepted_and_swapped_ones_refused(shared_dir: Path) -> None:
    def read_points(file: Path) -> np.ndarray:
        return np.array(json.loads(file.read_text())["groups"]["LJSON"]["landmarks"]["points"])

    files = sorted((shared_dir / "faces/MICC_landmarks").rglob("*.ljson"))
    for file in files:
        landmarks = read_points(file)
        scan = cut_scan(Mesh(landmarks, np.empty((0, 3), int)), landmarks, ALL)
        # In their own axes the scanned faces look down by about 45 degrees.
        assert scan.gaze[2] > 0.5 and scan.gaze[1] < -0.5 and abs(scan.gaze[0]) < 0.25
    james = shared_dir / "faces/scans/james"
    mesh = decode_mesh((james / "james.obj").read_bytes(), ".obj")
    assert mesh.vertices.shape == (6393, 3) and mesh.faces.shape == (12228, 3)
    with pytest.raises(DegenerateInputError, match="not a face in iBUG order"):
        cut_scan(mesh, read_points(james / "james.ljson"), ALL)


def test_a_real_scan_with_its_own_landmarks_is_read(shared_dir: Path) -> None:
    folder = shared_dir / "faces/scans/flame-fitting"
    mesh = decode_mesh((folder / "scan.obj").read_bytes(), ".obj")
    inner = np.load(folder / "scan_lmks.npy")
    # The file has no jaw, which is ignored; any points near the face can replace it.
    landmarks = np.vstack([np.repeat(inner[:1], 17, axis=0), inner])
    scan = cut_scan(mesh, landmarks, RegionConfig(kind="radius", radius=1.02))
    assert 0.2 < len(scan.vertices) / len(mesh.vertices) < 0.95
    assert scan.gaze[2] > 0.9
