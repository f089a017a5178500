from functools import cache

import numpy as np
import pytest
import trimesh
from scipy import ndimage

from rayboot.errors import ShapeError
from rayboot.evaluate.metrics.nme import Comparison, nme
from rayboot.evaluate.protocol import Alignment, Direction, Protocol
from rayboot.geometry.alignment import Similarity
from rayboot.geometry.camera import rotation_yaw_pitch
from rayboot.geometry.isosurface import extract_surface
from rayboot.geometry.mesh import Mesh, extract_submesh
from tests.evaluate.metrics.reference_nme import plain_nme


def face_like(step: float = 0.5) -> np.ndarray:
    """A dense bumpy cap: no motion but the identity carries it onto itself."""
    y, x = np.mgrid[-30:30:step, -25:25:step].reshape(2, -1)
    z = 20 - 0.01 * (x**2 + 0.8 * y**2) + 9 * np.exp(-((x - 2) ** 2 + (y + 3) ** 2) / 40)
    return np.column_stack([x, y, z + 2 * np.sin(x / 6) * np.cos(y / 9)])


@cache
def drawn_face() -> np.ndarray:
    """Vertices (N, 3) of a bumpy solid's surface, as drawn from a volume."""
    depth, y, x = np.mgrid[-40:40, -40:40, -35:35].astype(float)
    nose = 9 * np.exp(-((x - 2) ** 2 + (y + 3) ** 2) / 40)
    height = 20 - 0.02 * (x**2 + 0.8 * y**2) + nose + 2 * np.sin(x / 6) * np.cos(y / 9)
    inside = (depth < height) & (depth > -25) & (np.hypot(x, y) < 32)
    soft = ndimage.gaussian_filter(inside.astype(np.float32), 1.0)
    return extract_surface(soft).vertices.astype(float)


def sphere(radius: float) -> Mesh:
    found = trimesh.creation.icosphere(subdivisions=6, radius=radius)
    return Mesh(np.asarray(found.vertices), np.asarray(found.faces))


def cap(mesh: Mesh, above: float) -> Mesh:
    return extract_submesh(mesh, mesh.vertices[:, 2] > above)


def test_the_shape_itself_has_no_error() -> None:
    shape = face_like()
    for align in ("icp", "correspondence", "none"):
        assert nme(shape, shape, 40.0, align) < 1e-3


@pytest.mark.parametrize(
    "motion",
    [
        Similarity(1.0, rotation_yaw_pitch(0.1, 0.05), np.array([1.0, -2.0, 4.0])),
        Similarity(1.0, rotation_yaw_pitch(-0.15, 0.1), np.array([0.0, 3.0, -30.0])),
        Similarity(1.0, np.eye(3), np.array([2.0, 1.0, 100.0])),
    ],
)
def test_a_known_motion_is_found(motion: Similarity) -> None:
    truth = face_like()
    compared = Comparison(motion.apply(truth), truth, 40.0)
    off = np.linalg.norm(compared.motion.apply(truth) - motion.apply(truth), axis=1)
    assert off.max() < 1e-6
    assert compared.nme() < 1e-6


@pytest.mark.parametrize("seed", range(6))
def test_a_known_motion_of_a_drawn_surface_is_found(seed: int) -> None:
    """Marching cubes draws uneven vertices, between which ICP could come to rest."""
    rng = np.random.default_rng(seed)
    drawn = drawn_face()
    truth = drawn[drawn[:, 2] > np.quantile(drawn[:, 2], 0.5)]
    motion = Similarity(1.0, rotation_yaw_pitch(*rng.uniform(-0.15, 0.15, 2)), rng.normal(0, 3, 3))
    compared = Comparison(motion.apply(drawn), truth, 40.0)
    off = np.linalg.norm(compared.motion.apply(truth) - motion.apply(truth), axis=1)
    assert off.max() < 1e-6


def test_distances_where_the_shapes_were_are_those_of_the_motion() -> None:
    """What belongs together is known here: each point and where it was moved to."""
    truth = face_like()
    motion = Similarity(1.0, rotation_yaw_pitch(0.1, 0.0), np.array([1.0, -2.0, 4.0]))
    moved = motion.apply(truth)
    exact = np.linalg.norm(moved - truth, axis=1).mean() / 40
    assert nme(moved, truth, 40.0, "correspondence") == pytest.approx(exact, rel=0.01)
    assert nme(moved, truth, 40.0, "none") < exact


def test_depth_can_be_taken_out_of_distances_where_the_shapes_were() -> None:
    truth = face_like()
    moved = truth + [0.5, 0.0, 7.0]
    assert nme(moved, truth, 40.0, "correspondence") == pytest.approx(7.018 / 40, rel=0.01)
    deep = Protocol(depth="mean")
    assert nme(moved, truth, 40.0, "correspondence", deep) == pytest.approx(0.5 / 40, rel=0.05)


@pytest.mark.parametrize("direction", ["truth_to_prediction", "prediction_to_truth", "both"])
def test_a_sphere_of_a_wrong_radius_errs_by_the_difference(direction: Direction) -> None:
    """Concentric spheres are their radii apart everywhere, and no rigid motion helps."""
    protocol = Protocol(direction=direction)
    error = nme(sphere(44.0), sphere(40.0), 40.0, "icp", protocol)
    assert error == pytest.approx(4 / 40, rel=0.01)


@pytest.mark.parametrize("direction", ["truth_to_prediction", "prediction_to_truth", "both"])
def test_on_the_surface_even_coarse_spheres_err_by_the_difference(direction: Direction) -> None:
    coarse = trimesh.creation.icosphere(subdivisions=4, radius=40.5)
    predicted = Mesh(np.asarray(coarse.vertices), np.asarray(coarse.faces))
    by = {
        closest: nme(
            predicted, sphere(40.0), 40.0, "none", Protocol(closest=closest, direction=direction)
        )
        for closest in ("vertices", "surface")
    }
    assert by["surface"] == pytest.approx(0.5 / 40, rel=0.06)
    assert by["vertices"] > 1.1 * by["surface"] or direction == "prediction_to_truth"


def test_size_may_be_let_free() -> None:
    predicted, truth = sphere(44.0), sphere(40.0)
    assert nme(predicted, truth, 40.0) == pytest.approx(0.1, rel=0.02)
    assert nme(predicted, truth, 40.0, "icp", Protocol(scale=True)) < 0.01
    assert nme(1.2 * face_like(), face_like(), 40.0) > 0.01


def test_distances_from_the_prediction_are_of_what_lies_over_the_face() -> None:
    """A closed solid against a patch: its back and sides are not measured."""
    protocol = Protocol(direction="prediction_to_truth")
    predicted, truth = sphere(41.0), cap(sphere(40.0), 20.0)
    compared = Comparison(predicted, truth, 40.0, protocol)
    from_prediction = compared.from_prediction("none")
    assert from_prediction == pytest.approx(1.0, abs=0.35)
    share = (predicted.vertices[:, 2] > 20.5).mean()
    assert len(from_prediction) == pytest.approx(share * len(predicted.vertices), rel=0.15)


def test_distances_from_the_prediction_need_triangles() -> None:
    with pytest.raises(ShapeError, match="triangles"):
        nme(face_like(), face_like(), 40.0, "icp", Protocol(direction="both"))


def test_far_pairs_take_no_part_in_icp_but_are_measured() -> None:
    truth, motion = face_like(), np.array([0.0, 1.0, 0.0])
    # A fifth of the face was not reconstructed at all.
    predicted = (truth + motion)[truth[:, 1] < 18]
    free = Comparison(predicted, truth, 40.0)
    bound = Comparison(predicted, truth, 40.0, Protocol(max_correspondence=0.05))
    off = [np.abs(found.motion.apply(truth) - truth - motion).max() for found in (free, bound)]
    assert off[1] < 0.5 * off[0]
    assert bound.from_truth().max() > 0.2 * 40


# Both end in a valley of their own, a tenth of a pixel apart: where the shapes were, that counts in
# full; after ICP hardly.
@pytest.mark.parametrize(("align", "apart"), [("icp", 0.01), ("correspondence", 0.02), ("none", 0)])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_second_implementation_says_the_same(align: Alignment, apart: float, seed: int) -> None:
    truth, predicted = face_like(1.3), reconstructed(seed)
    protocol = Protocol(depth="as_placed", icp_points=len(truth))
    ours = nme(predicted, truth, 40.0, align, protocol)
    assert ours == pytest.approx(plain_nme(predicted, truth, 40.0, align), rel=apart or 1e-9)
    assert ours > 0.005


@pytest.mark.parametrize("seed", [3, 4, 5])
def test_fewer_points_in_icp_hardly_matter(seed: int) -> None:
    truth, predicted = face_like(), reconstructed(seed)
    all_of_them = nme(predicted, truth, 40.0, "icp", Protocol(icp_points=len(truth)))
    assert nme(predicted, truth, 40.0) == pytest.approx(all_of_them, rel=0.005)


def reconstructed(seed: int) -> np.ndarray:
    """A face that is wrong by some pixels, smoothly, on finer vertices, and turned."""
    rng = np.random.default_rng(seed)
    shape = face_like(0.4)
    waves = [np.sin(shape[:, 0] / w + w) * np.cos(shape[:, 1] / (w + 3)) for w in (4, 7, 11, 15)]
    shape[:, 2] += rng.normal(0, 1.5, 4) @ np.stack(waves)
    return shape @ rotation_yaw_pitch(*rng.uniform(-0.1, 0.1, 2)).T + [1, 2, 3]


@pytest.mark.parametrize("align", ["icp", "correspondence", "none"])
def test_the_unit_of_length_does_not_matter(align: Alignment) -> None:
    truth, predicted = face_like(1.3), reconstructed(0)
    error = nme(predicted, truth, 40.0, align)
    assert nme(5 * predicted, 5 * truth, 200.0, align) == pytest.approx(error, rel=1e-6)


def test_error_is_a_share_of_the_interocular_distance() -> None:
    truth, predicted = face_like(1.3), reconstructed(0)
    error = nme(predicted, truth, 40.0, "none")
    assert nme(predicted, truth, 20.0, "none") == pytest.approx(2 * error)


def test_distances_are_of_every_true_point() -> None:
    truth = face_like()
    distances = Comparison(truth[::2], truth, 40.0).from_truth("none")
    assert distances.shape == (len(truth),)
    assert np.allclose(distances[::2], 0)


def test_input_is_checked() -> None:
    shape = face_like()
    with pytest.raises(ShapeError, match="interocular"):
        nme(shape, shape, 0.0)
    with pytest.raises(ShapeError, match="truth"):
        nme(shape, shape[:, :2], 40.0)
