from pathlib import Path

import numpy as np
import pytest
import scipy.io

from rayboot.config import parse_config
from rayboot.errors import DegenerateInputError, RequestError
from rayboot.evaluate.datasets.aflw2000_dense import FACE_REGION
from rayboot.evaluate.datasets.region import RegionConfig, region_mask
from rayboot.geometry.head_model import load_head_model

VERTICES = load_head_model().mean.astype(np.float64)
LANDMARKS = VERTICES[load_head_model().landmarks]
FLAGS = VERTICES[:, 2] > np.median(VERTICES[:, 2])


def saved_mat(path: Path, **values: object) -> str:
    scipy.io.savemat(path, values)
    return str(path)


def saved_npy(path: Path, values: np.ndarray) -> str:
    np.save(path, values)
    return str(path)


def read_mask(uri: str) -> np.ndarray:
    return region_mask(RegionConfig(kind="file", file=uri), VERTICES, LANDMARKS)


def test_all_selects_every_vertex() -> None:
    assert region_mask(RegionConfig(), VERTICES, LANDMARKS).all()


@pytest.mark.parametrize("unit", [1.0, 91.3])
def test_a_radius_is_relative_to_the_face_s_own_size(unit: float) -> None:
    region = RegionConfig(kind="radius", radius=0.8)
    kept = region_mask(region, unit * VERTICES, unit * LANDMARKS)
    eyes = np.linalg.norm(LANDMARKS[36] - LANDMARKS[45])
    distance = np.linalg.norm(VERTICES - LANDMARKS[30], axis=1)
    assert (kept == (distance <= 0.8 * eyes)).all() and 0 < kept.sum() < len(kept)
    own = RegionConfig(kind="radius", own_radius=0.8 * unit * eyes)
    assert (region_mask(own, unit * VERTICES, unit * LANDMARKS) == kept).all()


def test_ears_and_neck_are_outside_the_face_region() -> None:
    kept = region_mask(FACE_REGION, VERTICES, LANDMARKS)
    ears = load_head_model().masks["ears"] > 0.5
    below = VERTICES[:, 1] < VERTICES[load_head_model().landmarks[8], 1] - 0.3
    assert not kept[ears].any() and not kept[below].any()
    assert kept[load_head_model().landmarks[17:]].all()


@pytest.mark.parametrize("values", [FLAGS[None], FLAGS[:, None], FLAGS[:, None].astype(float)])
def test_a_mat_holds_a_logical_array_of_any_name(tmp_path: Path, values: np.ndarray) -> None:
    uri = saved_mat(tmp_path / "a.mat", whatever=values, version=np.array([3.0]))
    assert (read_mask(uri) == FLAGS).all()


@pytest.mark.parametrize("values", [FLAGS, FLAGS[:, None], np.flatnonzero(FLAGS)])
def test_an_npy_holds_bools_or_indices(tmp_path: Path, values: np.ndarray) -> None:
    assert (read_mask(saved_npy(tmp_path / "a.npy", values)) == FLAGS).all()


def test_a_file_that_does_not_match_is_refused_with_its_content(tmp_path: Path) -> None:
    count = len(VERTICES)
    short = saved_mat(tmp_path / "short.mat", mask=FLAGS[:-1])
    with pytest.raises(RequestError, match=rf"{count} values.*mask \(1, {count - 1}\)"):
        read_mask(short)
    with pytest.raises(RequestError, match=r"one logical array.*one .*two"):
        read_mask(saved_mat(tmp_path / "two.mat", one=FLAGS, two=FLAGS))
    with pytest.raises(RequestError, match="0 and 1 only"):
        read_mask(saved_mat(tmp_path / "numbers.mat", mask=np.arange(count)))
    with pytest.raises(RequestError, match=rf"{count} bools.*{count - 1}"):
        read_mask(saved_npy(tmp_path / "short.npy", FLAGS[:-1]))
    with pytest.raises(RequestError, match=rf"0 to {count - 1}, got 1 to {count}"):
        read_mask(saved_npy(tmp_path / "one.npy", np.arange(count) + 1))
    with pytest.raises(RequestError, match="float64"):
        read_mask(saved_npy(tmp_path / "float.npy", VERTICES[:, 0]))
    with pytest.raises(RequestError, match="no such file"):
        read_mask(str(tmp_path / "none.mat"))


@pytest.mark.parametrize("name", ["a.mat", "a.npy"])
def test_files_of_other_formats_are_refused_without_unpickling(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\x80\x04nonsense" * 20)
    with pytest.raises(RequestError, match="cannot be read"):
        read_mask(str(tmp_path / name))
    objects = np.array([{"a": 1}, None], object)
    np.save(tmp_path / "objects.npy", objects, allow_pickle=True)
    with pytest.raises(RequestError, match="cannot be read"):
        read_mask(str(tmp_path / "objects.npy"))


def test_landmarks_of_another_frame_are_refused() -> None:
    with pytest.raises(DegenerateInputError, match="one frame"):
        region_mask(RegionConfig(kind="radius", radius=1), VERTICES, LANDMARKS + 100)


@pytest.mark.parametrize(
    "values",
    [
        {"kind": "radius"},
        {"kind": "radius", "radius": 1, "own_radius": 2},
        {"kind": "radius", "file": "a.mat"},
        {"kind": "radius", "radius": 1, "file": "a.mat"},
        {"kind": "radius", "radius": 0},
        {"kind": "file"},
        {"kind": "file", "file": "a.mat", "radius": 1},
        {"radius": 1},
        {"kind": "mask"},
    ],
)
def test_fields_of_another_kind_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(RequestError, match="region"):
        parse_config(RegionConfig, values, source="region")


def test_a_region_is_described() -> None:
    assert "1.02 outer eye distances" in FACE_REGION.describe()
    assert "95 of the mesh's own unit" in RegionConfig(kind="radius", own_radius=95).describe()
    assert RegionConfig(kind="file", file="a.mat").describe() == "vertices of a.mat"
    assert RegionConfig().describe() == "every vertex"


def test_the_face_region_of_the_real_model_has_the_documented_size(shared_dir: Path) -> None:
    folder = shared_dir / "faces/BFM-3DDFA"
    model = scipy.io.loadmat(folder / "Model_Shape_Sim.mat")
    mean = model["mu_shape"].astype(float) + np.load(folder / "u_exp.npy")
    vertices = mean.reshape(-1, 3)
    keypoints = model["keypoints"].ravel().astype(int) - 1
    kept = region_mask(FACE_REGION, vertices, vertices[keypoints])
    assert len(kept) == 53215 and kept.sum() == 19059
    # The ears begin about 50 mm further back, the neck below the chin.
    assert vertices[kept, 2].min() > vertices[keypoints[[0, 16]], 2].max() + 45e3
    assert vertices[kept, 1].min() > vertices[keypoints[8], 1] - 1e3
