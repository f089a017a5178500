"""Normalised mean error (NME) of a reconstructed shape.

The NME is the mean distance between closest points of the true face and the prediction, divided
by the 3D distance of the true outer eye corners. One image leaves the position of a face unknown,
so rigid ICP without scale aligns the shapes first.
"""

import warnings

import numpy as np
from scipy import ndimage

from rayboot.data.subsets import evenly_spaced
from rayboot.errors import ShapeError
from rayboot.evaluate.metrics.misalignment import explain_axes, explain_sizes
from rayboot.evaluate.metrics.registration import Surface, register
from rayboot.evaluate.protocol import Alignment, Protocol
from rayboot.geometry.alignment import Similarity, fit_similarity
from rayboot.geometry.isosurface import vertex_normals
from rayboot.geometry.mesh import Mesh

__all__ = ["Comparison", "nme"]


class Comparison:
    """A predicted shape and the true one; ICP runs once for all errors that are requested.

    Args:
        predicted: Mesh or (M, 3) vertices of the reconstruction.
        truth: Mesh or (N, 3) vertices of the true face region, same unit and frame.
        interocular: 3D distance of the true outer eye corners, same unit.
        protocol: Protocol of the comparison.
        start: Where ICP starts, a transform of the truth to the prediction; None aligns the fronts.

    Raises:
        ShapeError: A shape has no points, the interocular distance is not positive, or distances
            from the prediction are requested of shapes without triangles.
    """

    def __init__(
        self,
        predicted: Mesh | np.ndarray,
        truth: Mesh | np.ndarray,
        interocular: float,
        protocol: Protocol | None = None,
        start: Similarity | None = None,
    ) -> None:
        if not interocular > 0:
            raise ShapeError(f"the interocular distance must be positive, got {interocular}")
        self._predicted, self._truth = predicted, truth
        self._predicted_vertices = _as_vertices(predicted, "predicted")
        self._true_points = _as_vertices(truth, "truth")
        self._unit, self.protocol = float(interocular), protocol or Protocol(depth="as_placed")
        self._surface, self._start = Surface(self._predicted_vertices), start
        self._prediction_from_truth: Similarity | None = None

    @property
    def prediction_from_truth(self) -> Similarity:
        """Transform that aligns the truth with the prediction by ICP."""
        if self._prediction_from_truth is None:
            protocol, points = self.protocol, self._true_points
            self._prediction_from_truth = register(
                points[evenly_spaced(len(points), protocol.icp_points)],
                self._surface,
                self._start or self._align_fronts(),
                unit=self._unit,
                scale=protocol.scale,
                max_distance=(protocol.max_correspondence or np.inf) * self._unit,
                max_iterations=protocol.max_iterations,
            )
        return self._prediction_from_truth

    def _align_fronts(self) -> Similarity:
        """Returns the initial transform of ICP, which aligns the fronts in depth."""
        # The depth of a predicted solid is arbitrary.
        fronts = [
            np.quantile(part[:, 2], 0.98) for part in (self._predicted_vertices, self._true_points)
        ]
        return Similarity(1.0, np.eye(3), np.array([0.0, 0.0, fronts[0] - fronts[1]]))

    def nme(self, align: Alignment = "icp") -> float:
        """Returns the error in the protocol's direction, as a fraction of ``interocular``."""
        sides = {
            "truth_to_prediction": (self.from_truth,),
            "prediction_to_truth": (self.from_prediction,),
            "both": (self.from_truth, self.from_prediction),
        }[self.protocol.direction]
        return float(np.mean([side(align).mean() for side in sides]) / self._unit)

    def from_truth(self, align: Alignment = "icp") -> np.ndarray:
        """Returns the distance (N,) of every true point to the closest point of the prediction."""
        faces = self._faces_to_search(self._predicted, "the prediction")
        if align == "none":
            return self._surface.closest(self._true_points, faces).distance
        closest = self._surface.closest(self.prediction_from_truth.apply(self._true_points), faces)
        if align == "icp":
            return closest.distance
        return self._correspondence_distances(self._true_points, closest.point)

    def from_prediction(self, align: Alignment = "icp") -> np.ndarray:
        """Returns the distance (K,) of each predicted vertex over the true face to its closest.

        A reconstruction is a closed solid and the true face a patch of a head. A vertex lies over
        the true face if its normal faces the same way as the true face as a whole, it is nearer
        than half an outer eye distance to the true face, and its closest true point is not on the
        patch's border.
        """
        predicted, truth = self._require_meshes()
        identity = Similarity(1.0, np.eye(3), np.zeros(3))
        transform = self.prediction_from_truth if align != "none" else identity
        aligned = Mesh(transform.apply(truth.vertices), truth.faces)
        facing = vertex_normals(aligned.vertices, aligned.faces).mean(axis=0)
        max_distance = 0.5 * self._unit
        chosen = vertex_normals(predicted.vertices, predicted.faces) @ facing > 0
        chosen[chosen] = _may_be_near(predicted.vertices[chosen], aligned.vertices, max_distance)
        points = predicted.vertices[chosen]
        faces = self._faces_to_search(aligned, "the truth")
        closest = Surface(aligned.vertices).closest(points, faces)
        over = (closest.distance < max_distance) & ~_on_border(truth)[closest.vertex_index]
        if not over.any():
            raise ShapeError("no predicted vertex lies over the true face; are the frames alike?")
        if align == "correspondence":
            original = (closest.point[over] - transform.translation) @ transform.rotation
            return self._correspondence_distances(original / transform.scale, points[over])
        return np.asarray(closest.distance[over])

    def _faces_to_search(self, shape: Mesh | np.ndarray, name: str) -> np.ndarray | None:
        """Returns the triangles that hold closest points; None if closest points are vertices."""
        if self.protocol.closest == "vertices":
            return None
        if not isinstance(shape, Mesh):
            raise ShapeError(
                f"closest points on a surface require triangles of {name}, got points alone; "
                "set protocol.closest: vertices"
            )
        return shape.faces

    def _require_meshes(self) -> tuple[Mesh, Mesh]:
        if not isinstance(self._predicted, Mesh) or not isinstance(self._truth, Mesh):
            raise ShapeError(
                "distances from the prediction require triangles of both shapes, to find the "
                "vertices over the true face; got points alone, so set protocol.direction: "
                "truth_to_prediction"
            )
        return self._predicted._replace(vertices=self._predicted_vertices), self._truth

    def _correspondence_distances(self, truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
        """Returns the distances (K,) of corresponding points at their original positions."""
        offset = predicted - truth
        if self.protocol.depth == "mean":
            offset = offset - [0.0, 0.0, offset[:, 2].mean()]
        return np.asarray(np.linalg.norm(offset, axis=1))


def nme(
    predicted: Mesh | np.ndarray,
    truth: Mesh | np.ndarray,
    interocular: float,
    align: Alignment = "icp",
    protocol: Protocol | None = None,
    landmarks: tuple[np.ndarray, np.ndarray] | None = None,
) -> float:
    """Returns the normalised mean error of a predicted shape.

    Distances go from the truth to the prediction unless the protocol says otherwise. If the shapes
    do not meet and another unit, other axes or another start would explain it, a warning says so.

    Args:
        predicted: Mesh or (M, 3) vertices of the reconstruction.
        truth: Mesh or (N, 3) vertices of the true face region, same unit.
        interocular: 3D distance of the true outer eye corners, same unit.
        align: ``icp`` measures after rigid ICP; ``correspondence`` uses ICP only to find
            corresponding points and measures them at their original positions; ``none`` measures
            without ICP.
        protocol: By default the protocol of evaluations, except that the depth of the shapes is
            measured too (``depth: as_placed``).
        landmarks: Corresponding points (K, 3) of the prediction and of the truth, K >= 3, at which
            ICP starts. Without them it starts with the fronts aligned and recovers rotations of
            up to about 30 degrees.

    Returns:
        The error as a fraction of ``interocular``; 0.05 is 5 %.

    Raises:
        ShapeError: A shape has no points, the interocular distance is not positive, or the
            landmarks do not correspond.
        DegenerateInputError: The landmarks of either shape lie on one line.
    """
    start = None
    if landmarks is not None:
        start = fit_similarity(landmarks[1], landmarks[0], scale=False)
    comparison = Comparison(predicted, truth, interocular, protocol, start)
    if align == "none":
        return comparison.nme(align)
    points = (_as_vertices(predicted, "predicted"), _as_vertices(truth, "truth"))
    cause = explain_sizes(*points, interocular)
    if cause:  # said first, because ICP may fail then
        warnings.warn(f"the shapes cannot meet: {cause}", stacklevel=2)
    error = comparison.nme(align)
    if not cause:
        after_icp = error if align == "icp" else comparison.nme("icp")
        cause = explain_axes(*points, interocular, after_icp)
        if cause:
            warnings.warn(f"the shapes do not meet (NME {after_icp:.3g}): {cause}", stacklevel=2)
    return error


def _as_vertices(shape: Mesh | np.ndarray, name: str) -> np.ndarray:
    vertices = np.asarray(shape.vertices if isinstance(shape, Mesh) else shape, np.float64)
    if vertices.ndim != 2 or vertices.shape[1] != 3 or len(vertices) < 3:
        raise ShapeError(f"{name} must be a mesh or (N, 3) vertices, N >= 3, got {vertices.shape}")
    return vertices


def _may_be_near(points: np.ndarray, others: np.ndarray, max_distance: float) -> np.ndarray:
    """Selects the points (N, 3) that may be nearer than ``max_distance`` to one of the others.

    The test uses cubes of that edge; it never drops a near point. Nearest-neighbour searches for
    far points take ten times as long as for near ones.
    """
    low = others.min(axis=0) - max_distance
    cubes = np.floor((others - low) / max_distance).astype(int)
    grid = np.zeros(cubes.max(axis=0) + 3, bool)
    grid[tuple(cubes.T)] = True
    grid = ndimage.binary_dilation(grid, np.ones((3, 3, 3)))
    cells = np.floor((points - low) / max_distance).astype(int)
    selected = np.asarray(((cells >= 0) & (cells < grid.shape)).all(axis=1))
    selected[selected] = grid[tuple(cells[selected].T)]
    return selected


def _on_border(mesh: Mesh) -> np.ndarray:
    """Selects the vertices (N,) on an edge that belongs to one triangle only."""
    count = len(mesh.vertices)
    edges = np.sort(mesh.faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2).astype(np.int64), axis=1)
    keys, uses = np.unique(edges[:, 0] * count + edges[:, 1], return_counts=True)
    border = np.zeros(count, bool)
    once = keys[uses == 1]
    border[once // count] = border[once % count] = True
    return border
