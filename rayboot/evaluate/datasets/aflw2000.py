"""AFLW2000-3D with its landmarks for truth, for those who have no shape model.

The 68 3D landmarks of the files stand in for the dense shape: their distance to the
reconstructed surface, after rigid ICP, over the 3D distance of the outer eye corners.
It is named as such.
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
    """Photos with the landmarks of the published fits."""

    truth: ClassVar[str] = "68 3D landmarks of the published fits, measured to the surface"

    kind: Literal["aflw2000"] = "aflw2000"

    def read(self, row: Mapping[str, Any], size: int) -> GroundTruthFace:
        """A cropped photo, and its landmarks for truth."""
        fit = self.open_fit(row["face_id"], size)
        points = fit.values["pt3d_68"]
        plane = crop_from_pixel(apply_affine(fit.affine, points[:2].T - 1), size, size)
        # How far away a face is, a photo leaves open.
        depth = fit.affine[0, 0] * (points[2] - points[2].mean())
        landmarks = np.column_stack([plane, depth])
        return GroundTruthFace(
            row["face_id"], fit.image, landmarks, interocular_distance(landmarks), fit.yaw_deg
        )
