"""The files of AFLW2000-3D: ``imageNNNNN.jpg`` and ``imageNNNNN.mat``.

This module holds what the two datasets on these files share: which photos are measured, how they
are cropped, and the conventions of the files. ``pt3d_68`` counts pixels from 1, with rows growing
downwards and z towards the viewer; the sign of yaw is opposite to rayboot's.
"""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import pyarrow as pa
from pydantic import model_validator

from rayboot.config import Uri
from rayboot.errors import DegenerateInputError, FaceRejectedError, RequestError
from rayboot.evaluate.datasets.base import DatasetListing, EvalDataset, ExcludedFace
from rayboot.evaluate.datasets.face_files import read_mat, read_photo
from rayboot.evaluate.datasets.reannotation import load_reannotation
from rayboot.geometry.crop import landmark_crop, warp_photo
from rayboot.io.storage import join_uri, list_files

__all__ = ["Aflw2000Files", "Fit"]

_NUM_PHOTOS = 2000

_MAX_PITCH_ROLL_DEG = 270.0
"""Maximum |pitch| and |roll|: near a profile both may be off by half a turn, which is the same
pose."""

_MAX_YAW_DEG = {"leave_out": 90.0, "wrap": 120.0}
"""Maximum |yaw|, by ``implausible``: a face turned further shows nothing of its front. With
``leave_out``, seven of the 2,000 published fits are implausible. Two of these, image00150 and
image01530, have yaws of 119 and 105 degrees and nearly a full turn in pitch and roll; they look
right once full turns are removed, so ``wrap`` keeps them, beyond the bands that end at 90."""

_BLOCK_SIZE = 30
"""Number of consecutive photos that are in one part."""

_NUM_READERS = 16
"""Number of concurrent reads of ``.mat`` files."""


class Fit(NamedTuple):
    """A cropped photo and the parameters that were fitted to it.

    Attributes:
        values: Arrays of the ``.mat`` file, float64.
        photo: (H, W, 3) uint8 RGB.
        affine: (2, 3), photo px (counted from 0) to crop px.
        image: (S, S, 3) uint8, the crop.
        yaw_deg: Yaw from -180 to 180, positive where the nose points to the viewer's right.
    """

    values: Mapping[str, np.ndarray]
    photo: np.ndarray
    affine: np.ndarray
    image: np.ndarray
    yaw_deg: float


class Aflw2000Files(EvalDataset):
    """Base of the datasets that read the files of AFLW2000-3D."""

    arrays: ClassVar[Mapping[str, tuple[int, ...]]] = {"pt3d_68": (3, 68), "Pose_Para": (1, 7)}
    """Arrays that are read from each ``.mat`` file, with their shapes; 0 is any length."""

    data: Uri
    """URI of the folder."""
    annotation: Literal["original", "reannotated"] = "original"
    """Landmarks that place the crop: those of the fit, or those of the re-annotation for LS3D-W.
    The truth is that of the fit in both cases."""
    reannotation: Uri | None = None
    """URI of the folder of the re-annotation: a ``*.pts68.npy`` with its ``*.list``, or
    ``imageNNNNN.t7`` files."""
    implausible: Literal["leave_out", "wrap"] = "leave_out"
    """Handling of fits with implausible angles: ``leave_out`` excludes and lists them; ``wrap``
    removes full turns first, and excludes those that are implausible even then."""

    part: Literal["all", "development", "report"] = "all"
    """Photos that are measured. Of consecutive blocks of 30 photos, every third is for development
    and the others are for reports: photos with neighbouring numbers may show one person."""

    @model_validator(mode="after")
    def _require_matching_reannotation(self) -> "Aflw2000Files":
        if self.annotation == "reannotated" and self.reannotation is None:
            raise ValueError(
                "annotation: reannotated requires the folder of the re-annotation, got none; "
                "add reannotation: URI"
            )
        if self.annotation == "original" and self.reannotation is not None:
            raise ValueError(
                f"reannotation: {self.reannotation} has no effect with annotation: original; "
                "set annotation: reannotated to crop by it, or remove reannotation"
            )
        return self

    def list_faces(self) -> DatasetListing:
        """Lists the photos that have a ``.mat`` file with plausible angles; opens those files."""
        names = set(list_files(self.data))
        face_ids = sorted(f"{name[:-4]}.jpg" for name in names if name.endswith(".mat"))
        if not face_ids:
            raise RequestError(
                f"{self.data}: expected imageNNNNN.mat files of AFLW2000-3D, found none; give the "
                "folder of AFLW2000-3D, or another kind of dataset"
            )
        num_files = len(face_ids)
        face_ids = [name for i, name in enumerate(face_ids) if self._is_in_part(i)]
        if self.reannotation is not None:
            load_reannotation(self.reannotation)
        with ThreadPoolExecutor(_NUM_READERS, thread_name_prefix="fits") as pool:
            outcomes = list(pool.map(lambda face_id: self._check_face(face_id, names), face_ids))
        excluded = [outcome for outcome in outcomes if isinstance(outcome, ExcludedFace)]
        rows = [
            {"face_id": face_id, "yaw_deg": yaw_deg}
            for face_id, yaw_deg in zip(face_ids, outcomes, strict=True)
            if not isinstance(yaw_deg, ExcludedFace)
        ]
        schema = pa.schema([("face_id", pa.string()), ("yaw_deg", pa.float64())])
        return DatasetListing(pa.Table.from_pylist(rows, schema), excluded, _note(num_files))

    def _is_in_part(self, index: int) -> bool:
        is_development = index // _BLOCK_SIZE % 3 == 0
        return self.part == "all" or (self.part == "development") == is_development

    def describe(self) -> dict[str, str]:
        """Returns facts about the dataset: its truth, crops and excluded fits."""
        crop = {
            "original": "by the 68 landmarks of the fits",
            "reannotated": "by the 68 landmarks of LS3D-W's re-annotation",
        }
        implausible = {
            "leave_out": "left out",
            "wrap": "full turns wrapped away, left out if implausible even then",
        }
        return {
            **super().describe(),
            "crop": crop[self.annotation],
            "implausible fits": implausible[self.implausible],
            **({} if self.part == "all" else {"part": self.part}),
        }

    def read_fit(self, face_id: str, size: int) -> Fit:
        """Reads a photo cropped to ``size`` px, with its fit.

        Raises:
            FaceRejectedError: Its files are missing or damaged.
        """
        values = self._read_values(face_id)
        photo = read_photo(join_uri(self.data, face_id))
        landmarks = values["pt3d_68"][:2].T - 1
        if self.reannotation is not None:
            landmarks = load_reannotation(self.reannotation).read_landmarks(face_id, photo)
        try:
            affine = landmark_crop(landmarks, size)
        except DegenerateInputError as error:
            raise FaceRejectedError("crop", "degenerate", f"{face_id}: {error}") from error
        yaw_deg = _wrap_deg(-np.degrees(values["Pose_Para"][0, 1]))
        return Fit(values, photo, affine, warp_photo(photo, affine, size), float(yaw_deg))

    def _read_values(self, face_id: str) -> dict[str, np.ndarray]:
        return read_mat(join_uri(self.data, f"{face_id[:-4]}.mat"), dict(self.arrays))

    def _check_face(self, face_id: str, names: set[str]) -> float | ExcludedFace:
        """Returns the yaw of a face that can be measured, degrees, or why it is excluded."""
        if face_id not in names:
            return ExcludedFace(face_id, "the photo is missing")
        try:
            angles = np.degrees(self._read_values(face_id)["Pose_Para"][0, :3])
        except FaceRejectedError as error:
            return ExcludedFace(face_id, str(error))
        problem = self._find_implausible_angle(angles)
        if problem:
            return ExcludedFace(face_id, problem)
        if self.reannotation and not load_reannotation(self.reannotation).contains(face_id):
            return ExcludedFace(face_id, f"the re-annotation {self.reannotation} has no such photo")
        return float(_wrap_deg(-angles[1]))

    def _find_implausible_angle(self, angles: np.ndarray) -> str:
        """Returns why pitch, yaw and roll (3,), degrees, are implausible, or ""."""
        checked = _wrap_deg(angles) if self.implausible == "wrap" else angles
        pitch, yaw, roll = np.abs(checked)
        max_yaw = _MAX_YAW_DEG[self.implausible]
        if yaw <= max_yaw and max(pitch, roll) <= _MAX_PITCH_ROLL_DEG:
            return ""
        listed = ", ".join(
            f"{name} {angle:.0f}"
            for name, angle in zip(("pitch", "yaw", "roll"), checked, strict=True)
        )
        return (
            f"the angles of the fit are implausible: expected |yaw| up to {max_yaw:g} and |pitch| "
            f"and |roll| up to {_MAX_PITCH_ROLL_DEG:g} degrees, got {listed}"
        )


def _wrap_deg(angle: Any) -> Any:
    """Removes full turns from degrees; the result is from -180 to 180."""
    return (angle + 180) % 360 - 180


def _note(count: int) -> str:
    if count == _NUM_PHOTOS:
        return ""
    return f"AFLW2000-3D has {_NUM_PHOTOS:,} photos; this folder has {count:,} fits."
