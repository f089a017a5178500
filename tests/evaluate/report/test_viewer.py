import base64
import json
from typing import Any

import numpy as np
import pytest

from rayboot.evaluate.report.viewer import build_viewer_data, cluster_vertices
from rayboot.geometry.mesh import Mesh
from tests.evaluate.report.synthetic_examples import ball, example, seen


def unpacked(packed: dict[str, str]) -> np.ndarray:
    return np.frombuffer(base64.b64decode(packed["bdata"]), np.dtype(f"<{packed['dtype']}"))


def described(*faces: Any, models: tuple[str, ...] = ("a", "b")) -> dict[str, Any]:
    found = build_viewer_data([("set", face) for face in faces], models)
    assert found is not None
    return json.loads(json.dumps(found))


def test_shapes_are_packed_without_loss_that_could_be_seen() -> None:
    shapes = described(example(a=seen(0.02), b=seen(0.05)))
    (face,) = shapes["faces"]
    assert face["label"] == "yaw +20°, set, a"
    assert [shape["label"] for shape in face["shapes"]] == [
        "a",
        "b",
        "truth, coloured by the error of a",
        "truth, coloured by the error of b",
    ]
    (trace,) = face["shapes"][0]["traces"]
    mesh = seen(0.02).thin
    x, y, z = (unpacked(trace[axis]).astype(float) for axis in "xyz")
    # Right, away from the viewer, up: the same handedness.
    found = np.column_stack([x, z, -y]) * 48 / 20_000
    assert np.abs(found - mesh.vertices).max() < 0.01
    corners = np.column_stack([unpacked(trace[name]) for name in "ijk"])
    assert np.array_equal(corners, mesh.faces)
    assert len(base64.b64decode(trace["rgb"])) == 3 * len(mesh.vertices)
    assert shapes["reach"] >= max(np.abs(part).max() for part in (x, y, z))


def test_colours_of_the_truth_are_shares_of_the_scale() -> None:
    shapes = described(example(a=seen(0.02), b=seen(0.05)))
    assert shapes["limit"] == 5
    for shape, share in zip(shapes["faces"][0]["shapes"][2:], (0.4, 1.0), strict=True):
        assert shape["error"]
        (trace,) = shape["traces"]
        assert (unpacked(trace["intensity"]) == round(255 * share)).all()
        assert (trace["cmin"], trace["cmax"]) == (0, 255)


def test_points_lie_on_a_pale_reconstruction() -> None:
    shapes = described(example(a=seen(0.02, points=True)), models=("a",))
    mesh, points = shapes["faces"][0]["shapes"][1]["traces"]
    assert mesh["opacity"] < 1 and points["type"] == "scatter3d"
    assert len(unpacked(points["marker"]["color"])) == len(unpacked(points["x"]))


def test_a_face_without_a_shape_is_left_out() -> None:
    assert build_viewer_data([("set", example())], ["a"]) is None
    shapes = described(example(), example(b=seen(0.05)))
    (face,) = shapes["faces"]
    assert [shape["label"] for shape in face["shapes"]] == [
        "b",
        "truth, coloured by the error of b",
    ]


def test_a_fine_patch_is_thinned_and_keeps_its_form() -> None:
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
    shape = seen(0.02)
    thin = Mesh(rng.uniform(-9, 9, (count, 3)), np.array([[0, 1, count - 1]], np.int32))
    shapes = described(example(a=shape._replace(thin=thin)), models=("a",))
    (trace,) = shapes["faces"][0]["shapes"][0]["traces"]
    assert unpacked(trace["k"]).tolist() == [count - 1]
