"""AFLW2000-3D with its landmarks as ground truth, for users without the shape model.

The 68 3D landmarks of the files replace the dense shape: the error is their distance to the
reconstructed surface after rigid ICP, over the 3D distance of the outer eye corners. Reports name
this truth, because its errors cannot be compared with those of the dense one.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np

from rayboot.evaluate.datasets.aflw2000_files import Aflw2000Files
from rayboot.evaluate.datasets.base import GroundTruthFace
from rayboot.geometry.camera import crop_from_pixel
from rayboot.geometry.crop import apply_affine
from rayboot.geometry.landmarks68 import interocular_distance

__all__ = ["Aflw2000Dataset"]


class Aflw2000Dataset(Aflw2000Files):
    """AFLW2000-3D photos with the landmarks of the published fits."""

    truth: ClassVar[str] = "68 3D landmarks of the published fits, measured to the surface"

    kind: Literal["aflw2000"] = "aflw2000"
    """Selects this type of dataset."""

    def read(self, row: Mapping[str, Any], size: int) -> GroundTruthFace:
        """Returns the crop of a photo with its landmarks as truth."""
        fit = self.read_fit(row["face_id"], size)
        points = fit.values["pt3d_68"]
        xy = crop_from_pixel(apply_affine(fit.affine, points[:2].T - 1), size, size)
        # A photo leaves the distance of a face unknown, so its depth is centred.
        depth = fit.affine[0, 0] * (points[2] - points[2].mean())
        landmarks = np.column_stack([xy, depth])
        return GroundTruthFace(
            row["face_id"], fit.image, landmarks, interocular_distance(landmarks), fit.yaw_deg
        )
