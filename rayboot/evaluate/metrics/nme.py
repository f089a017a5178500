"""Normalised mean error of a reconstructed shape.

The mean distance between closest points of the true face and the prediction, over
the distance of the true outer eye corners in 3D. What one image leaves unknown, the
placement, is taken out by rigid ICP without scale.
"""

import numpy as np
from scipy import ndimage

from rayboot.errors import ShapeError
from rayboot.evaluate.metrics.registration import Surface, register
from rayboot.evaluate.protocol import Alignment, Protocol
from rayboot.geometry.alignment import Similarity
from rayboot.geometry.isosurface import vertex_normals
from rayboot.geometry.mesh import Mesh

__all__ = ["Comparison", "nme"]


class Comparison:
    """A predicted shape beside the true one; ICP is run once for all that is asked.

    Args:
        predicted: mesh or (M, 3) vertices of the reconstruction.
        truth: mesh or (N, 3) vertices of the true face region, same unit and frame.
        interocular: 3D distance of the true outer eye corners, same unit.
        protocol: of the comparison.

    Raises:
        ShapeError: no points, an interocular distance that is not positive, or shapes without
            triangles where distances from the prediction are asked for.
    """

    def __init__(
        self,
        predicted: Mesh | np.ndarray,
        truth: Mesh | np.ndarray,
        interocular: float,
        protocol: Protocol | None = None,
    ) -> None:
        if not interocular > 0:
            raise ShapeError(f"the interocular distance must be positive, got {interocular}")
        self._predicted, self._truth = predicted, truth
        self._vertices = _vertices(predicted, "predicted")
        self._points = _vertices(truth, "truth")
        self._unit, self.protocol = float(interocular), protocol or Protocol(depth="as_placed")
        self._surface = Surface(self._vertices)
        self._motion: Similarity | None = None

    @property
    def motion(self) -> Similarity:
        """Carries the truth onto the prediction."""
        if self._motion is None:
            protocol, points = self.protocol, self._points
            places = np.linspace(0, len(points) - 1, min(len(points), protocol.icp_points))
            self._motion = register(
                points[places.round().astype(int)],
                self._surface,
                self._fronts_at_one_depth(),
                unit=self._unit,
                scale=protocol.scale,
                reach=(protocol.max_correspondence or np.inf) * self._unit,
                max_iterations=protocol.max_iterations,
            )
        return self._motion

    def _fronts_at_one_depth(self) -> Similarity:
        """Where ICP begins: the depth of a solid is arbitrary."""
        fronts = [np.quantile(part[:, 2], 0.98) for part in (self._vertices, self._points)]
        return Similarity(1.0, np.eye(3), np.array([0.0, 0.0, fronts[0] - fronts[1]]))

    def nme(self, align: Alignment = "icp") -> float:
        """The error as a share of the interocular distance, in the protocol's direction."""
        sides = {
            "truth_to_prediction": (self.from_truth,),
            "prediction_to_truth": (self.from_prediction,),
            "both": (self.from_truth, self.from_prediction),
        }[self.protocol.direction]
        return float(np.mean([side(align).mean() for side in sides]) / self._unit)

    def from_truth(self, align: Alignment = "icp") -> np.ndarray:
        """Distance (N,) of every true point to the prediction's closest one."""
        faces = self._faces(self._predicted, "the prediction")
        if align == "none":
            return self._surface.closest(self._points, faces).distance
        found = self._surface.closest(self.motion.apply(self._points), faces)
        if align == "icp":
            return found.distance
        return self._apart(self._points, found.place)

    def from_prediction(self, align: Alignment = "icp") -> np.ndarray:
        """Distance (K,) of the predicted vertices that lie over the true face to its closest.

        A reconstruction is a closed solid and the true face a patch of a head: vertices count
        that face the same way as the true face does as a whole, that are nearer to it than half
        an outer eye distance, and whose closest true point is none of the patch's border.
        """
        predicted, truth = self._meshes()
        motion = self.motion if align != "none" else Similarity(1.0, np.eye(3), np.zeros(3))
        moved = Mesh(motion.apply(truth.vertices), truth.faces)
        ahead = vertex_normals(moved.vertices, moved.faces).mean(axis=0)
        reach = 0.5 * self._unit
        chosen = vertex_normals(predicted.vertices, predicted.faces) @ ahead > 0
        chosen[chosen] = _near(predicted.vertices[chosen], moved.vertices, reach)
        points = predicted.vertices[chosen]
        found = Surface(moved.vertices).closest(points, self._faces(moved, "the truth"))
        over = (found.distance < reach) & ~_at_border(truth)[found.vertex]
        if not over.any():
            raise ShapeError("no predicted vertex lies over the true face; are the frames alike?")
        if align == "correspondence":
            back = (found.place[over] - motion.translation) @ motion.rotation / motion.scale
            return self._apart(back, points[over])
        return found.distance[over]

    def _faces(self, shape: Mesh | np.ndarray, name: str) -> np.ndarray | None:
        """Triangles that closest points are sought on; None where vertices count."""
        if self.protocol.closest == "vertices":
            return None
        if not isinstance(shape, Mesh):
            raise ShapeError(f"closest points on a surface need triangles of {name}, got points")
        return shape.faces

    def _meshes(self) -> tuple[Mesh, Mesh]:
        if not isinstance(self._predicted, Mesh) or not isinstance(self._truth, Mesh):
            raise ShapeError(
                "distances from the prediction need triangles of both shapes, to tell what lies "
                "over the true face; got points alone, so measure truth_to_prediction"
            )
        return self._predicted._replace(vertices=self._vertices), self._truth

    def _apart(self, truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
        """Distances (K,) of points that belong together, where the shapes were."""
        offset = predicted - truth
        if self.protocol.depth == "mean":
            offset = offset - [0.0, 0.0, offset[:, 2].mean()]
        return np.linalg.norm(offset, axis=1)


def nme(
    predicted: Mesh | np.ndarray,
    truth: Mesh | np.ndarray,
    interocular: float,
    align: Alignment = "icp",
    protocol: Protocol | None = None,
) -> float:
    """Normalised mean error, from the truth to the prediction unless the protocol says otherwise.

    Args:
        predicted: mesh or (M, 3) vertices of the reconstruction.
        truth: mesh or (N, 3) vertices of the true face region, same unit.
        interocular: 3D distance of the true outer eye corners, same unit.
        align: ``icp`` measures after rigid ICP; ``correspondence`` uses ICP only
            to find which points belong together and measures where the shapes
            were; ``none`` does without.
        protocol: by default that of evaluations, shapes being measured where they are in
            depth as well.

    Returns:
        The error as a share of ``interocular``; 0.05 is 5 %.

    Raises:
        ShapeError: no points, or an interocular distance that is not positive.
    """
    return Comparison(predicted, truth, interocular, protocol).nme(align)


def _vertices(shape: Mesh | np.ndarray, name: str) -> np.ndarray:
    vertices = np.asarray(shape.vertices if isinstance(shape, Mesh) else shape, np.float64)
    if vertices.ndim != 2 or vertices.shape[1] != 3 or len(vertices) < 3:
        raise ShapeError(f"{name} must be a mesh or (N, 3) vertices, got {vertices.shape}")
    return vertices


def _near(points: np.ndarray, others: np.ndarray, reach: float) -> np.ndarray:
    """Which points (N, 3) may be nearer than ``reach`` to one of the others; far ones are not.

    By cubes of that edge: searching for the nearest of what is far away takes ten times as
    long as for what is near.
    """
    low = others.min(axis=0) - reach
    cubes = np.floor((others - low) / reach).astype(int)
    grid = np.zeros(cubes.max(axis=0) + 3, bool)
    grid[tuple(cubes.T)] = True
    grid = ndimage.binary_dilation(grid, np.ones((3, 3, 3)))
    places = np.floor((points - low) / reach).astype(int)
    inside = ((places >= 0) & (places < grid.shape)).all(axis=1)
    inside[inside] = grid[tuple(places[inside].T)]
    return inside


def _at_border(mesh: Mesh) -> np.ndarray:
    """Which vertices (N,) lie on an edge that belongs to one triangle alone."""
    count = len(mesh.vertices)
    edges = np.sort(mesh.faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2).astype(np.int64), axis=1)
    keys, uses = np.unique(edges[:, 0] * count + edges[:, 1], return_counts=True)
    border = np.zeros(count, bool)
    once = keys[uses == 1]
    border[once // count] = border[once % count] = True
    return border
