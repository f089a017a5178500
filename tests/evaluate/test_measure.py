from pathlib import Path

import numpy as np
import pytest

from rayboot.data.truth import truth_table
from rayboot.errors import RequestError
from rayboot.evaluate.aflw2000 import IMPLAUSIBLE, list_faces, read_face
from rayboot.evaluate.benchmark import TrueFace, measure_face
from rayboot.evaluate.config import EvaluateConfig
from rayboot.evaluate.examples import surface_depth
from rayboot.evaluate.faces import check_faces, pick_by_yaw, read_true_face
from rayboot.geometry.surface import extract_surface
from rayboot.geometry.volume import unpack_occupancy


def test_the_true_volume_measures_small(synthetic_set: str) -> None:
    config = EvaluateConfig(data=synthetic_set)
    for row in truth_table(synthetic_set).to_pylist()[:4]:
        face = read_true_face(config, row, 96)
        volume = unpack_occupancy(row["occupancy"], tuple(row["shape"])).astype(np.float32)
        error = measure_face(face, volume)
        # A hard-edged volume, and vertices not on its grid: about a voxel.
        assert error.nme_none < 0.03
        assert error.nme_icp <= error.nme_none + 0.005
        assert error.yaw_deg == face.yaw_deg


def test_an_empty_prediction_is_no_number() -> None:
    face = TrueFace("a", np.zeros((8, 8, 3), np.uint8), np.zeros((5, 3)), 4.0, 0.0)
    error = measure_face(face, np.zeros((8, 8, 8), np.float32))
    assert np.isnan(error.nme_icp) and np.isnan(error.nme_none)


def test_faces_for_pictures_go_from_frontal_to_profile(synthetic_set: str) -> None:
    faces = pick_by_yaw(EvaluateConfig(data=synthetic_set), 96, 5)
    yaws = [abs(face.yaw_deg) for face in faces]
    assert yaws == sorted(yaws)
    assert yaws[0] < 12 and yaws[-1] > 60


def test_a_missing_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="synthesize"):
        check_faces(EvaluateConfig(data=str(tmp_path)))
    with pytest.raises(RequestError, match="AFLW2000"):
        check_faces(EvaluateConfig(data=str(tmp_path), kind="aflw2000"))


def test_aflw2000_is_read_with_its_conventions(shared_dir: Path) -> None:
    uri = str(shared_dir / "faces/AFLW2000")
    names = list_faces(uri)["face_id"].to_pylist()
    assert len(names) == 448
    assert not any(name.split(".")[0] in IMPLAUSIBLE for name in names)
    left_out = 0
    for name in names[:40]:
        face = read_face(uri, name, 96)
        plane = face.vertices[:, :2]
        assert np.abs(plane.mean(axis=0)).max() < 0.51
        assert np.sqrt(np.ptp(plane[:, 0]) * np.ptp(plane[:, 1])) == pytest.approx(45, rel=1e-6)
        # Positive yaw turns the nose to the viewer's right: it lies right of the eyes' middle.
        offset = face.vertices[30] - face.vertices[[36, 45]].mean(axis=0)
        if abs(face.yaw_deg) > 20:
            assert np.sign(offset[0]) == np.sign(face.yaw_deg)
        else:
            left_out += 1
        assert offset[2] > 0 or abs(face.yaw_deg) > 60
    assert left_out < 40


def test_depth_of_a_surface_is_where_the_surface_is(synthetic_set: str) -> None:
    row = truth_table(synthetic_set).to_pylist()[0]
    volume = unpack_occupancy(row["occupancy"], tuple(row["shape"]))
    depth = surface_depth(extract_surface(volume.astype(np.float32)), 96)
    covered = volume.any(axis=0)
    assert (np.isfinite(depth) & covered).sum() > 0.97 * covered.sum()
    assert np.isnan(surface_depth(None, 96)).all()
