"""The interface of all evaluation datasets, and the face with ground truth that they return."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pyarrow as pa

from rayboot.config import FrozenConfig
from rayboot.geometry.mesh import Mesh

__all__ = ["DatasetListing", "EvalDataset", "ExcludedFace", "GroundTruthFace"]


class GroundTruthFace(NamedTuple):
    """The crop of a photo and the true shape of its face.

    Attributes:
        face_id: Id of the face.
        image: (S, S, 3) uint8, the crop.
        vertices: (N, 3), true face region, px in the frame of the crop; if ``landmarks`` is not
            None, in a frame and unit of their own.
        interocular: 3D distance of the outer eye corners, in the unit of the vertices.
        yaw_deg: Yaw of the true pose; NaN where it is unknown.
        triangles: (F, 3), indices of the vertices; None where the truth consists of points.
        landmarks: (68, 3) in the frame of the vertices, if that is not the frame of the crop and
            each model's shape has to determine where the truth belongs; else None.
        nose: (K,) indices of the vertices of the nose; None where they are not known.
    """

    face_id: str
    image: np.ndarray
    vertices: np.ndarray
    interocular: float
    yaw_deg: float
    triangles: np.ndarray | None = None
    landmarks: np.ndarray | None = None
    nose: np.ndarray | None = None

    @property
    def shape(self) -> Mesh | np.ndarray:
        """Mesh of the true face, or its vertices where there are no triangles."""
        return self.vertices if self.triangles is None else Mesh(self.vertices, self.triangles)


class ExcludedFace(NamedTuple):
    """A face that cannot or should not be measured, and the reason."""

    face_id: str
    reason: str


class DatasetListing(NamedTuple):
    """The faces of a dataset.

    Attributes:
        rows: Table with ``face_id`` (unique, sorted) and the columns that
            :meth:`EvalDataset.read` requires.
        excluded: Faces that were found but are not measured.
        note: Remark on the number of faces, as sentences; may be empty.
    """

    rows: pa.Table
    excluded: list[ExcludedFace]
    note: str = ""


class EvalDataset(FrozenConfig, ABC):
    """A dataset of photos with true face shapes: its config and its reader in one."""

    truth: ClassVar[str]
    """What serves as the true shape, in a few words."""

    @abstractmethod
    def list_faces(self) -> DatasetListing:
        """Lists the faces without opening photos.

        Raises:
            RequestError: The location holds no dataset of this kind.
        """

    @abstractmethod
    def read(self, row: Mapping[str, Any], size: int) -> GroundTruthFace:
        """Reads the face of one row of :meth:`list_faces`, its photo cropped to ``size`` px.

        Raises:
            FaceRejectedError: Files of the face are missing or damaged.
        """

    def describe(self) -> dict[str, str]:
        """Returns facts about the dataset that are reported with every result."""
        return {"truth": self.truth}
