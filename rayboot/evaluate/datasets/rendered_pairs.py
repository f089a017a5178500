"""A pairs data set as ground truth: a network on renders of its own, rotated predictions.

No true shape of a face is needed, so any photos can be used. The error measures whether a network
predicts from a rotated view the shape that it predicted from the source photo.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
from scipy import ndimage

from rayboot.config import Uri
from rayboot.data.images import decode_photo
from rayboot.data.pair_index import face_files
from rayboot.errors import RequestError
from rayboot.evaluate.datasets.base import DatasetListing, EvalDataset, GroundTruthFace
from rayboot.geometry.camera import SLICES_PER_PIXEL, transform_points
from rayboot.geometry.isosurface import extract_surface, vertex_normals
from rayboot.geometry.landmarks68 import interocular_distance
from rayboot.geometry.mesh import Mesh, extract_submesh
from rayboot.geometry.pose import estimate_pose, landmarks_from_pose
from rayboot.geometry.volume import keep_largest_component, unpack_occupancy
from rayboot.io.parquet import read_table
from rayboot.io.storage import join_uri

__all__ = ["RenderedPairsDataset"]

_SMOOTHING_PX = 1.0
"""Standard deviation of the Gaussian that smooths the bits of a target, whose own surface is
blocky."""


class RenderedPairsDataset(EvalDataset):
    """Views of a finished pairs data set; the yaw of each is the rotation that was applied."""

    truth: ClassVar[str] = (
        "front of the network's own shape of the source photo, rotated like the view"
    )

    kind: Literal["pairs"] = "pairs"
    """Selects this type of dataset."""
    data: Uri
    """URI of the data set, which the network that is measured on it has generated."""

    def list_faces(self) -> DatasetListing:
        """Lists one row per view; ``face_id`` is that of the photo, followed by the rotation."""
        rows = [row for name in face_files(self.data) for row in _list_views(self.data, name)]
        return DatasetListing(pa.Table.from_pylist(rows).sort_by("face_id"), [])

    def read(self, row: Mapping[str, Any], size: int) -> GroundTruthFace:
        """Returns a view, and the front of its source's shape, transformed like the view."""
        face = _read_faces(self.data, row["file"])[row["row_index"]]
        stored_size = face["shape"][2]
        if stored_size != size:
            raise RequestError(
                f"{self.data}: its views are crops of {stored_size} px, the network requires "
                f"{size}; measure the network that generated the pairs"
            )
        view = face["views"][row["view"]]
        mesh, interocular = _read_source(self.data, row["file"], row["row_index"])
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


def _list_views(uri: str, name: str) -> list[dict[str, Any]]:
    faces = read_table(join_uri(uri, name), ["face_id", "views"])
    return [
        {
            "face_id": f"{face['face_id']} {view['yaw_deg']:+g} {view['pitch_deg']:+g}",
            "yaw_deg": float(view["yaw_deg"]),
            "file": name,
            "row_index": row_index,
            "view": number,
        }
        for row_index, face in enumerate(faces.to_pylist())
        for number, view in enumerate(face["views"])
    ]


@lru_cache(maxsize=2)
def _read_faces(uri: str, name: str) -> list[dict[str, Any]]:
    columns = ["face_id", "occupancy", "shape", "views"]
    faces: list[dict[str, Any]] = read_table(join_uri(uri, name), columns).to_pylist()
    return faces


# The views of a face are consecutive.
@lru_cache(maxsize=4)
def _read_source(uri: str, name: str, row_index: int) -> tuple[Mesh, float]:
    """Returns the front of a source's shape, and its outer eye distance by the fitted mean face."""
    face = _read_faces(uri, name)[row_index]
    depth, height, width = face["shape"]
    solid = keep_largest_component(unpack_occupancy(face["occupancy"], (depth, height, width)))
    sigma = (SLICES_PER_PIXEL * _SMOOTHING_PX, _SMOOTHING_PX, _SMOOTHING_PX)
    mesh = extract_surface(ndimage.gaussian_filter(solid.astype(np.float32), sigma))
    pose = estimate_pose(mesh.vertices)
    return _cut_front(mesh, pose.gaze), interocular_distance(landmarks_from_pose(pose))


def _cut_front(mesh: Mesh, gaze: np.ndarray) -> Mesh:
    """Keeps the vertices whose normals point along ``gaze`` rather than against it."""
    return extract_submesh(mesh, vertex_normals(mesh.vertices, mesh.faces) @ gaze > 0)
