import base64
import json
from typing import Any

import matplotlib
import numpy as np
import pytest

from rayboot.evaluate.report.panels import ERROR_COLORMAP
from rayboot.evaluate.report.viewer import build_viewer_data, cluster_vertices
from rayboot.geometry.mesh import Mesh
from tests.evaluate.report.synthetic_examples import ball, evaluated_face, example


def unpack(packed: dict[str, str]) -> np.ndarray:
    return np.frombuffer(base64.b64decode(packed["bytes"]), np.dtype(f"<{packed['kind']}"))


def viewer_data(*faces: Any, models: tuple[str, ...] = ("a", "b")) -> dict[str, Any]:
    data = build_viewer_data([("dataset", face) for face in faces], models)
    assert data is not None
    return json.loads(json.dumps(data))


def test_shapes_are_packed_without_visible_loss() -> None:
    shapes = viewer_data(example(a=evaluated_face(0.02), b=evaluated_face(0.05)))
    (face,) = shapes["faces"]
    assert face["label"] == "yaw +20°, dataset, a"
    assert [shape["label"] for shape in face["shapes"]] == [
        "a",
        "b",
        "truth, coloured by the error of a",
        "truth, coloured by the error of b",
    ]
    (part,) = face["shapes"][0]["parts"]
    mesh = evaluated_face(0.02).coarse_mesh
    positions = unpack(part["positions"]).reshape(-1, 3).astype(float)
    assert np.abs(positions * 48 / 20_000 - mesh.vertices).max() < 0.01
    assert np.array_equal(unpack(part["indices"]).reshape(-1, 3), mesh.faces)
    assert len(unpack(part["colors"])) == 3 * len(mesh.vertices)
    assert shapes["half_width"] >= np.abs(positions).max()


def test_colours_of_the_truth_are_fractions_of_the_scale() -> None:
    shapes = viewer_data(example(a=evaluated_face(0.02), b=evaluated_face(0.05)))
    assert shapes["limit"] == 5
    for shape, fraction in zip(shapes["faces"][0]["shapes"][2:], (0.4, 1.0), strict=True):
        assert shape["error"]
        (part,) = shape["parts"]
        expected = matplotlib.colormaps[ERROR_COLORMAP](fraction, bytes=True)[:3]
        assert (unpack(part["colors"]).reshape(-1, 3) == expected).all()


def test_true_points_are_drawn_on_a_translucent_reconstruction() -> None:
    shapes = viewer_data(example(a=evaluated_face(0.02, points=True)), models=("a",))
    mesh, points = shapes["faces"][0]["shapes"][1]["parts"]
    assert mesh["opacity"] < 1 and "indices" in mesh and "indices" not in points
    assert len(unpack(points["colors"])) == len(unpack(points["positions"]))


def test_a_face_without_a_shape_is_left_out() -> None:
    assert build_viewer_data([("dataset", example())], ["a"]) is None
    shapes = viewer_data(example(), example(b=evaluated_face(0.05)))
    (face,) = shapes["faces"]
    assert [shape["label"] for shape in face["shapes"]] == [
        "b",
        "truth, coloured by the error of b",
    ]


def test_a_fine_patch_is_simplified_and_keeps_its_form() -> None:
    mesh = ball(64, 14)
    patch, values = cluster_vertices(mesh, mesh.vertices[:, 2], 2.0)
    assert 100 < len(patch.vertices) < len(mesh.vertices) / 3
    assert patch.faces.max() < len(patch.vertices)
    assert np.abs(np.linalg.norm(patch.vertices, axis=1) - 14).max() < 1
    assert np.abs(values - patch.vertices[:, 2]).max() < 1e-4
    assert (patch.faces != np.roll(patch.faces, 1, axis=1)).all()


@pytest.mark.parametrize("count", [2**16 - 1, 2**16])
def test_any_number_of_vertices_can_be_packed(count: int) -> None:
    rng = np.random.default_rng(0)
    face = evaluated_face(0.02)
    coarse = Mesh(rng.uniform(-9, 9, (count, 3)), np.array([[0, 1, count - 1]], np.int32))
    shapes = viewer_data(example(a=face._replace(coarse_mesh=coarse)), models=("a",))
    (part,) = shapes["faces"][0]["shapes"][0]["parts"]
    assert unpack(part["indices"]).tolist() == [0, 1, count - 1]
