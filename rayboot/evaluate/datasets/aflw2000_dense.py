"""AFLW2000-3D with dense ground truth, for users who have the shape model of its fits."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np

from rayboot.config import Uri
from rayboot.errors import FaceRejectedError, RequestError
from rayboot.evaluate.datasets.aflw2000_files import Aflw2000Files, Fit
from rayboot.evaluate.datasets.base import DatasetListing, GroundTruthFace
from rayboot.evaluate.datasets.region import RegionConfig
from rayboot.evaluate.datasets.shape_model import ShapeModel, load_shape_model, rotation_of_fit
from rayboot.geometry.camera import crop_from_pixel
from rayboot.geometry.crop import apply_affine

__all__ = ["FACE_REGION", "Aflw2000DenseDataset"]

FACE_REGION = RegionConfig(kind="radius", radius=1.02)
"""Region on the model's mean face, whose outer eye corners are 86.3 mm apart: 19,059 of its 53,215
vertices, from the chin to the middle of the forehead and short of the jaw's angle; no ears and no
neck. It has about as many vertices as the VRN author's vertex filter, which it replaces where that
file is not available."""


class Aflw2000DenseDataset(Aflw2000Files):
    """AFLW2000-3D photos with the meshes that the published fits make of the shape model."""

    truth: ClassVar[str] = "dense mesh of the published fits"
    arrays: ClassVar[Mapping[str, tuple[int, ...]]] = {
        **Aflw2000Files.arrays,
        "Shape_Para": (0, 1),
        "Exp_Para": (0, 1),
    }

    kind: Literal["aflw2000_dense"] = "aflw2000_dense"
    """Selects this type of dataset."""
    shape_model: Uri
    """URI of a folder with your own ``Model_Shape.mat`` and ``Model_Exp.mat``."""
    region: RegionConfig = FACE_REGION
    """Vertices of the model that are measured."""

    def list_faces(self) -> DatasetListing:
        """Lists the photos with plausible fits; loads the shape model first, to check it.

        Raises:
            RequestError: The shape model is missing, or has another number of components than
                the fits.
        """
        model = load_shape_model(self.shape_model, self.region)
        listing = super().list_faces()
        if len(listing.rows):
            face_id = listing.rows["face_id"][0].as_py()
            _require_components(self._read_values(face_id), model)
        return listing

    def describe(self) -> dict[str, str]:
        """Returns facts about the dataset, among them the region that is measured."""
        return {**super().describe(), "region": self.region.describe()}

    def read(self, row: Mapping[str, Any], size: int) -> GroundTruthFace:
        """Returns the crop of a photo and its mesh in the frame of the crop."""
        face_id = row["face_id"]
        model = load_shape_model(self.shape_model, self.region)
        fit = self.read_fit(face_id, size)
        try:
            _require_components(fit.values, model)
        except RequestError as error:
            raise FaceRejectedError("read", "unreadable", f"{face_id}: {error}") from error
        vertices, corners = model.vertices(
            fit.values["Shape_Para"][:, 0], fit.values["Exp_Para"][:, 0]
        )
        points = _crop_from_model(np.vstack([vertices, corners]), fit, size)
        vertices, corners = points[:-2], points[-2:]
        # A photo leaves the distance of a face unknown, so its depth is centred.
        vertices[:, 2] -= vertices[:, 2].mean()
        interocular = float(np.linalg.norm(corners[0] - corners[1]))
        return GroundTruthFace(
            face_id, fit.image, vertices, interocular, fit.yaw_deg, model.triangles
        )


def _crop_from_model(points: np.ndarray, fit: Fit, size: int) -> np.ndarray:
    """Transforms points (N, 3) from the model's frame to the frame of the crop."""
    pitch, yaw, roll, *translation, scale = fit.values["Pose_Para"][0]
    projected = scale * points @ rotation_of_fit(pitch, yaw, roll).T + translation
    # y grows upwards from below the photo's last row, and pixels count from 1.
    pixels = np.column_stack([projected[:, 0] - 1, len(fit.photo) - projected[:, 1]])
    xy = crop_from_pixel(apply_affine(fit.affine, pixels), size, size)
    return np.column_stack([xy, fit.affine[0, 0] * projected[:, 2]])


def _require_components(values: Mapping[str, np.ndarray], model: ShapeModel) -> None:
    actual = len(values["Shape_Para"]), len(values["Exp_Para"])
    expected = model.num_shape, model.num_expression
    if actual != expected:
        raise RequestError(
            f"the fit has {actual[0]} coefficients of shape and {actual[1]} of expression, the "
            f"shape model {expected[0]} and {expected[1]}; give the model that the fits were made "
            "with"
        )
