from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from rayboot.data.ground_truth import read_truth
from rayboot.data.images import encode_image
from rayboot.data.schema import FACE_COLUMNS
from rayboot.errors import RequestError, UnfinishedDataError
from rayboot.evaluate.datasets.rendered_pairs import RenderedPairsDataset
from rayboot.evaluate.measure_faces import measure_face
from rayboot.geometry.camera import rotation_yaw_pitch
from rayboot.geometry.volume import transform_volume, unpack_occupancy
from tests.data.pair_sets import write_pairs

YAWS = (-60.0, 20.0, 45.0)
SCALE = 0.9


def transform_of(yaw_deg: float) -> np.ndarray:
    rotation = rotation_yaw_pitch(np.radians(yaw_deg), 0.0)
    return np.column_stack([SCALE * rotation, [1.0, -0.5, 0.25]])


@pytest.fixture(scope="module")
def rows(synthetic_set: str) -> list[dict[str, Any]]:
    truths = read_truth(synthetic_set, ["occupancy", "shape", "yaw_deg", "interocular"]).to_pylist()
    return [row for row in truths if abs(row["yaw_deg"]) < 12][:3]


@pytest.fixture(scope="module")
def uri(rows: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> str:
    image = encode_image(np.full((96, 96, 3), 90, np.uint8), "png")
    faces = []
    for row in rows:
        views = [
            {
                "yaw_deg": yaw,
                "pitch_deg": 0.0,
                "transform": transform_of(yaw).ravel().tolist(),
                "view_gaze": transform_of(yaw)[:, 2].tolist(),
                "clipped": 0.0,
                "image": image,
            }
            for yaw in YAWS
        ]
        known = {
            "face_id": row["face_id"],
            "split": "train",
            "image": image,
            "target_kind": "occupancy",
            "occupancy": row["occupancy"],
            "shape": row["shape"],
            "views": views,
        }
        faces.append({name: known.get(name) for name in FACE_COLUMNS})
    return write_pairs(tmp_path_factory.mktemp("pairs") / "set", faces)


def test_a_network_that_rotates_its_shapes_correctly_has_a_small_error(
    uri: str, rows: list[dict[str, Any]]
) -> None:
    dataset = RenderedPairsDataset(data=uri)
    listed = dataset.list_faces().rows.to_pylist()
    assert len(listed) == len(rows) * len(YAWS) == len({row["face_id"] for row in listed})
    rows_by_id = {row["face_id"]: row for row in rows}
    for view in listed:
        face = dataset.read(view, 96)
        assert face.yaw_deg == view["yaw_deg"] in YAWS
        source = rows_by_id[view["face_id"].rsplit(" ", 2)[0]]
        solid = unpack_occupancy(source["occupancy"], tuple(source["shape"]))
        soft = ndimage.gaussian_filter(solid.astype(np.float32), (2, 1, 1))
        predicted = transform_volume(soft, transform_of(view["yaw_deg"]))
        assert measure_face(face, predicted).nme_icp < 0.02
        # A network that ignores the rotation.
        assert measure_face(face, soft).nme_none > 0.05


def test_the_unit_is_the_outer_eye_distance_of_the_shape(
    uri: str, rows: list[dict[str, Any]]
) -> None:
    dataset = RenderedPairsDataset(data=uri)
    listed = dataset.list_faces().rows.to_pylist()
    interocular = {row["face_id"]: row["interocular"] for row in rows}
    for view in listed:
        face = dataset.read(view, 96)
        expected = SCALE * interocular[view["face_id"].rsplit(" ", 2)[0]]
        assert face.interocular == pytest.approx(expected, rel=0.15)


def test_the_truth_is_the_front_of_the_shape(uri: str) -> None:
    dataset = RenderedPairsDataset(data=uri)
    view = next(row for row in dataset.list_faces().rows.to_pylist() if row["yaw_deg"] == 20.0)
    face = dataset.read(view, 96)
    assert face.triangles is not None
    back = rotation_yaw_pitch(np.radians(-20.0), 0.0)
    corners = (face.vertices @ back.T)[face.triangles]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    ahead = normals[:, 2] / np.linalg.norm(normals, axis=1)
    # The face looks up to 12 degrees aside, and the solid's back is missing.
    assert ahead.min() > -0.6 and (ahead > -0.3).mean() > 0.98


def test_unfinished_data_and_other_crop_sizes_are_refused(uri: str, tmp_path: Path) -> None:
    with pytest.raises(UnfinishedDataError):
        RenderedPairsDataset(data=str(tmp_path)).list_faces()
    dataset = RenderedPairsDataset(data=uri)
    with pytest.raises(RequestError, match="crops of 96 px, the network requires 192"):
        dataset.read(dataset.list_faces().rows.to_pylist()[0], 192)
