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
from tests.evaluate.metrics.reference_nme import reference_nme


def face_like(step: float = 0.5) -> np.ndarray:
    """A dense bumpy cap that only the identity aligns with itself."""
    y, x = np.mgrid[-30:30:step, -25:25:step].reshape(2, -1)
    z = 20 - 0.01 * (x**2 + 0.8 * y**2) + 9 * np.exp(-((x - 2) ** 2 + (y + 3) ** 2) / 40)
    return np.column_stack([x, y, z + 2 * np.sin(x / 6) * np.cos(y / 9)])


@cache
def isosurface_face() -> np.ndarray:
    """Vertices (N, 3) of a bumpy solid's isosurface, as extracted from a volume."""
    depth, y, x = np.mgrid[-40:40, -40:40, -35:35].astype(float)
    nose = 9 * np.exp(-((x - 2) ** 2 + (y + 3) ** 2) / 40)
    height = 20 - 0.02 * (x**2 + 0.8 * y**2) + nose + 2 * np.sin(x / 6) * np.cos(y / 9)
    inside = (depth < height) & (depth > -25) & (np.hypot(x, y) < 32)
    soft = ndimage.gaussian_filter(inside.astype(np.float32), 1.0)
    return extract_surface(soft).vertices.astype(float)


def sphere(radius: float) -> Mesh:
    icosphere = trimesh.creation.icosphere(subdivisions=6, radius=radius)
    return Mesh(np.asarray(icosphere.vertices), np.asarray(icosphere.faces))


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
def test_a_known_motion_is_recovered(motion: Similarity) -> None:
    truth = face_like()
    comparison = Comparison(motion.apply(truth), truth, 40.0)
    offset = np.linalg.norm(
        comparison.prediction_from_truth.apply(truth) - motion.apply(truth), axis=1
    )
    assert offset.max() < 1e-6
    assert comparison.nme() < 1e-6


@pytest.mark.parametrize("seed", range(6))
def test_a_known_motion_of_an_isosurface_is_recovered(seed: int) -> None:
    """Marching cubes places vertices unevenly, so that ICP could stop at a local minimum."""
    rng = np.random.default_rng(seed)
    surface = isosurface_face()
    truth = surface[surface[:, 2] > np.quantile(surface[:, 2], 0.5)]
    motion = Similarity(1.0, rotation_yaw_pitch(*rng.uniform(-0.15, 0.15, 2)), rng.normal(0, 3, 3))
    comparison = Comparison(motion.apply(surface), truth, 40.0)
    offset = np.linalg.norm(
        comparison.prediction_from_truth.apply(truth) - motion.apply(truth), axis=1
    )
    assert offset.max() < 1e-6


def test_correspondence_distances_are_those_of_the_motion() -> None:
    """Corresponding points are known here: each point and its moved position."""
    truth = face_like()
    motion = Similarity(1.0, rotation_yaw_pitch(0.1, 0.0), np.array([1.0, -2.0, 4.0]))
    moved = motion.apply(truth)
    exact = np.linalg.norm(moved - truth, axis=1).mean() / 40
    assert nme(moved, truth, 40.0, "correspondence") == pytest.approx(exact, rel=0.01)
    assert nme(moved, truth, 40.0, "none") < exact


def test_the_depth_offset_can_be_removed_from_correspondence_distances() -> None:
    truth = face_like()
    moved = np.add(truth, [0.5, 0.0, 7.0])
    assert nme(moved, truth, 40.0, "correspondence") == pytest.approx(7.018 / 40, rel=0.01)
    centred = Protocol(depth="mean")
    assert nme(moved, truth, 40.0, "correspondence", centred) == pytest.approx(0.5 / 40, rel=0.05)


@pytest.mark.parametrize("direction", ["truth_to_prediction", "prediction_to_truth", "both"])
def test_the_error_of_a_sphere_is_the_difference_of_radii(direction: Direction) -> None:
    """The distance of concentric spheres is constant, and no rigid motion reduces it."""
    protocol = Protocol(direction=direction)
    error = nme(sphere(44.0), sphere(40.0), 40.0, "icp", protocol)
    assert error == pytest.approx(4 / 40, rel=0.01)


@pytest.mark.parametrize("direction", ["truth_to_prediction", "prediction_to_truth", "both"])
def test_closest_surface_points_are_exact_even_for_coarse_spheres(direction: Direction) -> None:
    coarse = trimesh.creation.icosphere(subdivisions=4, radius=40.5)
    predicted = Mesh(np.asarray(coarse.vertices), np.asarray(coarse.faces))
    errors = {
        closest: nme(
            predicted, sphere(40.0), 40.0, "none", Protocol(closest=closest, direction=direction)
        )
        for closest in ("vertices", "surface")
    }
    assert errors["surface"] == pytest.approx(0.5 / 40, rel=0.06)
    assert errors["vertices"] > 1.1 * errors["surface"] or direction == "prediction_to_truth"


def test_the_scale_can_be_free() -> None:
    predicted, truth = sphere(44.0), sphere(40.0)
    assert nme(predicted, truth, 40.0) == pytest.approx(0.1, rel=0.02)
    assert nme(predicted, truth, 40.0, "icp", Protocol(scale=True)) < 0.01
    assert nme(1.2 * face_like(), face_like(), 40.0) > 0.01


def test_distances_from_the_prediction_are_of_vertices_over_the_face() -> None:
    """The prediction is a closed solid and the truth a patch: back and sides are not measured."""
    protocol = Protocol(direction="prediction_to_truth")
    predicted, truth = sphere(41.0), cap(sphere(40.0), 20.0)
    comparison = Comparison(predicted, truth, 40.0, protocol)
    from_prediction = comparison.from_prediction("none")
    assert from_prediction == pytest.approx(1.0, abs=0.35)
    fraction = (predicted.vertices[:, 2] > 20.5).mean()
    assert len(from_prediction) == pytest.approx(fraction * len(predicted.vertices), rel=0.15)


def test_distances_from_the_prediction_require_triangles() -> None:
    with pytest.raises(ShapeError, match="triangles"):
        nme(face_like(), face_like(), 40.0, "icp", Protocol(direction="both"))


def test_far_pairs_are_ignored_by_icp_but_measured() -> None:
    truth, motion = face_like(), np.array([0.0, 1.0, 0.0])
    # A fifth of the face is missing in the prediction.
    predicted = (truth + motion)[truth[:, 1] < 18]
    unlimited = Comparison(predicted, truth, 40.0)
    limited = Comparison(predicted, truth, 40.0, Protocol(max_correspondence=0.05))
    offsets = [
        np.abs(comparison.prediction_from_truth.apply(truth) - truth - motion).max()
        for comparison in (unlimited, limited)
    ]
    assert offsets[1] < 0.5 * offsets[0]
    assert limited.from_truth().max() > 0.2 * 40


# Each implementation converges to its own local minimum, a tenth of a pixel apart. That changes
# correspondence distances fully, and distances after ICP hardly.
@pytest.mark.parametrize(
    ("align", "tolerance"), [("icp", 0.01), ("correspondence", 0.02), ("none", 0)]
)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_second_implementation_agrees(align: Alignment, tolerance: float, seed: int) -> None:
    truth, predicted = face_like(1.3), reconstruct(seed)
    protocol = Protocol(depth="as_placed", icp_points=len(truth))
    ours = nme(predicted, truth, 40.0, align, protocol)
    assert ours == pytest.approx(
        reference_nme(predicted, truth, 40.0, align), rel=tolerance or 1e-9
    )
    assert ours > 0.005


@pytest.mark.parametrize("seed", [3, 4, 5])
def test_fewer_points_in_icp_hardly_matter(seed: int) -> None:
    truth, predicted = face_like(), reconstruct(seed)
    with_all = nme(predicted, truth, 40.0, "icp", Protocol(icp_points=len(truth)))
    assert nme(predicted, truth, 40.0) == pytest.approx(with_all, rel=0.005)


def reconstruct(seed: int) -> np.ndarray:
    """A face with smooth errors of some pixels, on finer vertices, and rotated."""
    rng = np.random.default_rng(seed)
    shape = face_like(0.4)
    waves = [np.sin(shape[:, 0] / w + w) * np.cos(shape[:, 1] / (w + 3)) for w in (4, 7, 11, 15)]
    shape[:, 2] += rng.normal(0, 1.5, 4) @ np.stack(waves)
    return shape @ rotation_yaw_pitch(*rng.uniform(-0.1, 0.1, 2)).T + [1, 2, 3]


@pytest.mark.parametrize("align", ["icp", "correspondence", "none"])
def test_the_unit_of_length_does_not_matter(align: Alignment) -> None:
    truth, predicted = face_like(1.3), reconstruct(0)
    error = nme(predicted, truth, 40.0, align)
    assert nme(5 * predicted, 5 * truth, 200.0, align) == pytest.approx(error, rel=1e-6)


def test_the_error_is_a_fraction_of_the_interocular_distance() -> None:
    truth, predicted = face_like(1.3), reconstruct(0)
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
