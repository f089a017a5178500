"""A network on renders of its own shapes: a pairs data set, whose truth are the turned shapes.

No face's true shape is asked for, so anybody's photos will do. What is measured is whether a
network gives again, from the side, what it said from the front.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from scipy import ndimage

from rayboot.data.images import decode_photo
from rayboot.data.manifest import require_finished
from rayboot.errors import RequestError
from rayboot.evaluate.datasets.base import DatasetListing, EvalDataset, GroundTruthFace
from rayboot.geometry.camera import SLICES_PER_PIXEL, transform_points
from rayboot.geometry.isosurface import extract_surface, vertex_normals
from rayboot.geometry.landmarks68 import interocular_distance, landmarks_from_pose
from rayboot.geometry.mesh import Mesh, extract_submesh
from rayboot.geometry.pose import estimate_pose
from rayboot.geometry.volume import keep_largest_component, unpack_occupancy
from rayboot.io.storage import join_uri, list_files, open_file

__all__ = ["RenderedPairsDataset"]

_SMOOTHING = 1.0
"""Standard deviation, px, of the Gaussian over a target's bits: their own surface is blocky."""


class RenderedPairsDataset(EvalDataset):
    """Views of a finished pairs data set; the yaw of each is the turn that was applied."""

    truth: ClassVar[str] = "the network's own shape of the unturned photo, its front, turned"

    kind: Literal["pairs"] = "pairs"
    data: str
    """URI of the data set, made with the network that is measured on it."""

    def list_faces(self) -> DatasetListing:
        """A row a view; ``face_id`` is the photo's with the turn behind it."""
        require_finished(self.data)
        names = list_files(self.data, "outcome=face")
        if not names:
            raise RequestError(f"{self.data}: every photo was rejected, there is no view to see")
        rows = [row for name in sorted(names) for row in _index(self.data, name)]
        return DatasetListing(pa.Table.from_pylist(rows).sort_by("face_id"), [])

    def read(self, row: Mapping[str, Any], size: int) -> GroundTruthFace:
        """A view, with the front of its source's shape turned as the view was."""
        face = _faces(self.data, row["file"])[row["place"]]
        kept = face["shape"][2]
        if kept != size:
            raise RequestError(
                f"{self.data}: its views are crops of {kept} px, the network takes {size}; measure "
                "the network that the pairs were made with"
            )
        view = face["views"][row["view"]]
        mesh, interocular = _source(self.data, row["file"], row["place"])
        transform = np.reshape(np.asarray(view["transform"], np.float64), (3, 4))
        scale = float(np.linalg.det(transform[:, :3]) ** (1 / 3))
        return GroundTruthFace(
            row["face_id"],
            decode_photo(view["image"]),
            transform_points(transform, mesh.vertices),
            scale * interocular,
            row["yaw_deg"],
            mesh.faces,
        )


def _index(uri: str, name: str) -> list[dict[str, Any]]:
    with open_file(join_uri(uri, name)) as file:
        faces = pq.ParquetFile(file, pre_buffer=True).read(columns=["face_id", "views"])
    return [
        {
            "face_id": f"{face['face_id']} {view['yaw_deg']:+g} {view['pitch_deg']:+g}",
            "yaw_deg": float(view["yaw_deg"]),
            "file": name,
            "place": place,
            "view": number,
        }
        for place, face in enumerate(faces.to_pylist())
        for number, view in enumerate(face["views"])
    ]


@lru_cache(maxsize=2)
def _faces(uri: str, name: str) -> list[dict[str, Any]]:
    with open_file(join_uri(uri, name)) as file:
        columns = ["face_id", "occupancy", "shape", "views"]
        return pq.ParquetFile(file, pre_buffer=True).read(columns=columns).to_pylist()


# A face's views come one after the other.
@lru_cache(maxsize=4)
def _source(uri: str, name: str, place: int) -> tuple[Mesh, float]:
    """Front of a source's shape, and its outer eye distance by the mean face laid onto it."""
    face = _faces(uri, name)[place]
    depth, height, width = face["shape"]
    solid = keep_largest_component(unpack_occupancy(face["occupancy"], (depth, height, width)))
    blur = (SLICES_PER_PIXEL * _SMOOTHING, _SMOOTHING, _SMOOTHING)
    mesh = extract_surface(ndimage.gaussian_filter(solid.astype(np.float32), blur))
    pose = estimate_pose(mesh.vertices)
    return _front(mesh, pose.gaze), interocular_distance(landmarks_from_pose(pose))


def _front(mesh: Mesh, gaze: np.ndarray) -> Mesh:
    """The triangles that look along ``gaze`` rather than away from it, and their vertices."""
    ahead = vertex_normals(mesh.vertices, mesh.faces) @ gaze > 0
    return extract_submesh(mesh, ahead)
