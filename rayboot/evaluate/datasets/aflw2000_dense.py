"""AFLW2000-3D with its dense truth, for those who have the shape model of its fits."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np

from rayboot.errors import FaceRejectedError, RequestError
from rayboot.evaluate.datasets.aflw2000_files import Aflw2000Files, Fit
from rayboot.evaluate.datasets.base import DatasetListing, GroundTruthFace
from rayboot.evaluate.datasets.region import RegionConfig
from rayboot.evaluate.datasets.shape_model import ShapeModel, load_shape_model, rotation_of_fit
from rayboot.geometry.camera import crop_from_pixel
from rayboot.geometry.crop import apply_affine

__all__ = ["FACE_REGION", "Aflw2000DenseDataset"]

FACE_REGION = RegionConfig(kind="radius", radius=1.02)
"""Of the model's mean face, whose outer eye corners are 86.3 mm apart: 19,059 of its 53,215
vertices, from chin to mid-forehead and short of the jaw's angle; no ear and no neck. About as
many as the VRN author's vertex filter keeps, which stands in for it where it is not at hand."""


class Aflw2000DenseDataset(Aflw2000Files):
    """Photos with the mesh that the published fits make of the shape model."""

    truth: ClassVar[str] = "dense mesh of the published fits"
    arrays: ClassVar[Mapping[str, tuple[int, ...]]] = {
        **Aflw2000Files.arrays,
        "Shape_Para": (0, 1),
        "Exp_Para": (0, 1),
    }

    kind: Literal["aflw2000_dense"] = "aflw2000_dense"
    shape_model: str
    """URI of a folder with your own ``Model_Shape.mat`` and ``Model_Exp.mat``."""
    region: RegionConfig = FACE_REGION
    """Which of the model's vertices are measured."""

    def list_faces(self) -> DatasetListing:
        """Photos with plausible fits; the shape model is read first, so that it is there.

        Raises:
            RequestError: it is not, or has another number of components than the fits.
        """
        model = load_shape_model(self.shape_model, self.region)
        listing = super().list_faces()
        if len(listing.rows):
            _require_components(self._values(listing.rows["face_id"][0].as_py()), model)
        return listing

    def describe(self) -> dict[str, str]:
        """What is measured, with its number of vertices."""
        return {**super().describe(), "region": self.region.describe()}

    def read(self, row: Mapping[str, Any], size: int) -> GroundTruthFace:
        """A cropped photo, and its mesh in the frame of the crop."""
        face_id = row["face_id"]
        model = load_shape_model(self.shape_model, self.region)
        fit = self.open_fit(face_id, size)
        try:
            _require_components(fit.values, model)
        except RequestError as error:
            raise FaceRejectedError("read", "unreadable", f"{face_id}: {error}") from error
        vertices, corners = model.vertices(
            fit.values["Shape_Para"][:, 0], fit.values["Exp_Para"][:, 0]
        )
        placed = _place(np.vstack([vertices, corners]), fit, size)
        vertices, corners = placed[:-2], placed[-2:]
        # How far away a face is, a photo leaves open.
        vertices[:, 2] -= vertices[:, 2].mean()
        interocular = float(np.linalg.norm(corners[0] - corners[1]))
        return GroundTruthFace(
            face_id, fit.image, vertices, interocular, fit.yaw_deg, model.triangles
        )


def _place(points: np.ndarray, fit: Fit, size: int) -> np.ndarray:
    """From the model's frame (N, 3) to the crop's."""
    pitch, yaw, roll, *shift, scale = fit.values["Pose_Para"][0]
    placed = scale * points @ rotation_of_fit(pitch, yaw, roll).T + shift
    # y runs up from below the photo's last row, and pixels count from 1.
    pixels = np.column_stack([placed[:, 0] - 1, len(fit.photo) - placed[:, 1]])
    plane = crop_from_pixel(apply_affine(fit.affine, pixels), size, size)
    return np.column_stack([plane, fit.affine[0, 0] * placed[:, 2]])


def _require_components(values: Mapping[str, np.ndarray], model: ShapeModel) -> None:
    found = len(values["Shape_Para"]), len(values["Exp_Para"])
    wanted = model.num_shape, model.num_expression
    if found != wanted:
        raise RequestError(
            f"the fit has {found[0]} coefficients of shape and {found[1]} of expression, the shape "
            f"model {wanted[0]} and {wanted[1]}; give the model that the fits were made with"
        )
