"""A face whose shape is known, and a set of them: what every kind of set gives."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pyarrow as pa

from rayboot.config import FrozenConfig
from rayboot.geometry.mesh import Mesh

__all__ = ["DatasetListing", "EvalDataset", "ExcludedFace", "GroundTruthFace"]


class GroundTruthFace(NamedTuple):
    """A photo's crop and its true shape.

    Attributes:
        face_id: of the photo.
        image: (S, S, 3) uint8 crop.
        vertices: (N, 3) of the true face region, px of the crop's frame; where ``landmarks``
            are given in a frame of their own, and so not placed yet, of any length unit.
        interocular: outer eye distance in 3D, in the unit of the vertices.
        yaw_deg: of the true pose; NaN where nothing tells it.
        triangles: (F, 3) of the vertices, None where there are only points.
        landmarks: (68, 3) in the frame of the vertices, where these are not in the crop's frame
            and each model's shape has to tell where they belong; else None.
    """

    face_id: str
    image: np.ndarray
    vertices: np.ndarray
    interocular: float
    yaw_deg: float
    triangles: np.ndarray | None = None
    landmarks: np.ndarray | None = None

    @property
    def shape(self) -> Mesh | np.ndarray:
        """The vertices, with their triangles where there are any."""
        return self.vertices if self.triangles is None else Mesh(self.vertices, self.triangles)


class ExcludedFace(NamedTuple):
    """A face that cannot be measured, or should not be, and why."""

    face_id: str
    reason: str


class DatasetListing(NamedTuple):
    """The faces of a set.

    Attributes:
        rows: a table with ``face_id`` (unique) and whatever :meth:`EvalDataset.read` wants, sorted.
        faults: faces that were found but take no part.
        note: what is to be said of the count, a sentence; empty where nothing is.
    """

    rows: pa.Table
    faults: list[ExcludedFace]
    note: str = ""


class EvalDataset(FrozenConfig, ABC):
    """A set of photos of faces whose shape is known; its config and its reader in one."""

    truth: ClassVar[str]
    """What stands for the true shape, in a few words."""

    @abstractmethod
    def list_faces(self) -> DatasetListing:
        """What is there, without opening a photo.

        Raises:
            RequestError: nothing of this kind is there.
        """

    @abstractmethod
    def read(self, row: Mapping[str, Any], size: int) -> GroundTruthFace:
        """The face of one row of :meth:`list_faces`, its photo cropped to ``size`` px.

        Raises:
            FaceRejectedError: its files are missing or damaged.
        """

    def describe(self) -> dict[str, str]:
        """Facts that are named beside every result."""
        return {"truth": self.truth}
