"""AFLW2000-3D as it lies on disk: ``imageNNNNN.jpg`` and ``imageNNNNN.mat``.

What its two kinds of truth have in common: which photos take part, how they are cropped, and
the conventions of the files. ``pt3d_68`` counts pixels from 1, its rows run down and its z
grows towards the viewer; the sign of yaw is the opposite of ours.
"""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import pyarrow as pa
from pydantic import model_validator

from rayboot.errors import DegenerateInputError, FaceRejectedError, RequestError
from rayboot.evaluate.datasets.base import DatasetListing, EvalDataset, ExcludedFace
from rayboot.evaluate.datasets.face_files import read_mat, read_photo
from rayboot.evaluate.datasets.reannotation import open_reannotation
from rayboot.geometry.crop import landmark_crop, warp_photo
from rayboot.io.storage import join_uri, list_files

__all__ = ["Aflw2000Files", "Fit"]

_NUM_PHOTOS = 2000

_MAX_TURN_DEG = 270.0
"""Of pitch and roll: near a profile they may both be half a turn off, which is the same pose."""

_MAX_YAW_DEG = {"leave_out": 90.0, "wrap": 120.0}
"""A face turned further shows nothing of its front. By the first, seven of the 2,000 published
fits are not plausible. Two of these, image00150 and image01530, have yaws of 119 and 105 degrees
and nearly a full turn in pitch and roll; once it is wrapped away they look right, so ``wrap``
takes them in, beyond the bands that end at 90."""

_NUM_REQUESTS = 16


class Fit(NamedTuple):
    """A photo and what was fitted to it.

    Attributes:
        values: of its ``.mat``, float64.
        photo: (H, W, 3) uint8.
        affine: (2, 3), photo px counted from 0 to px of the crop.
        image: (S, S, 3) uint8 crop.
        yaw_deg: within a half turn, positive where the nose points to the viewer's right.
    """

    values: Mapping[str, np.ndarray]
    photo: np.ndarray
    affine: np.ndarray
    image: np.ndarray
    yaw_deg: float


class Aflw2000Files(EvalDataset):
    """Fields and files of the data set."""

    arrays: ClassVar[Mapping[str, tuple[int, ...]]] = {"pt3d_68": (3, 68), "Pose_Para": (1, 7)}
    """That are read of each ``.mat``, with their shapes; 0 is any length."""

    data: str
    """URI of the folder."""
    annotation: Literal["original", "reannotated"] = "original"
    """By which 68 landmarks a photo is cropped: those of the fit, or those that were set anew for
    LS3D-W. The truth is that of the fit either way."""
    reannotation: str | None = None
    """URI of the folder of those set anew: a ``*.pts68.npy`` with its ``*.list``, or
    ``imageNNNNN.t7`` files."""
    implausible: Literal["leave_out", "wrap"] = "leave_out"
    """What becomes of fits whose angles cannot be: left out and counted; or full turns are taken
    off, and only those are left out that cannot be even then."""

    @model_validator(mode="after")
    def _reannotation_is_there_to_be_used(self) -> "Aflw2000Files":
        if (self.annotation == "reannotated") != (self.reannotation is not None):
            raise ValueError(
                "reannotation, a folder, belongs to annotation: reannotated, and that to it"
            )
        return self

    def list_faces(self) -> DatasetListing:
        """Photos that have a ``.mat`` with plausible angles; these small files are opened."""
        names = set(list_files(self.data))
        ids = sorted(f"{name[:-4]}.jpg" for name in names if name.endswith(".mat"))
        if not ids:
            raise RequestError(
                f"{self.data}: no imageNNNNN.mat, which this kind asks for; give the folder of "
                "AFLW2000-3D, or another kind"
            )
        if self.reannotation is not None:
            open_reannotation(self.reannotation)
        with ThreadPoolExecutor(_NUM_REQUESTS, thread_name_prefix="fits") as pool:
            found = list(pool.map(lambda face_id: self._look_at(face_id, names), ids))
        faults = [fault for fault in found if isinstance(fault, ExcludedFace)]
        kept = [
            {"face_id": face_id, "yaw_deg": yaw}
            for face_id, yaw in zip(ids, found, strict=True)
            if not isinstance(yaw, ExcludedFace)
        ]
        schema = pa.schema([("face_id", pa.string()), ("yaw_deg", pa.float64())])
        return DatasetListing(pa.Table.from_pylist(kept, schema), faults, _note(len(ids)))

    def describe(self) -> dict[str, str]:
        """Truth, and what decides which photos are seen, and how."""
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
        }

    def open_fit(self, face_id: str, size: int) -> Fit:
        """A photo cropped to ``size`` px, with its fit.

        Raises:
            FaceRejectedError: its files are missing or damaged.
        """
        values = self._values(face_id)
        photo = read_photo(join_uri(self.data, face_id))
        landmarks = values["pt3d_68"][:2].T - 1
        if self.reannotation is not None:
            landmarks = open_reannotation(self.reannotation).landmarks(face_id, photo)
        try:
            affine = landmark_crop(landmarks, size)
        except DegenerateInputError as error:
            raise FaceRejectedError("crop", "degenerate", f"{face_id}: {error}") from error
        yaw_deg = _half_turn(-np.degrees(values["Pose_Para"][0, 1]))
        return Fit(values, photo, affine, warp_photo(photo, affine, size), float(yaw_deg))

    def _values(self, face_id: str) -> dict[str, np.ndarray]:
        return read_mat(join_uri(self.data, f"{face_id[:-4]}.mat"), dict(self.arrays))

    def _look_at(self, face_id: str, names: set[str]) -> float | ExcludedFace:
        """The yaw of a face that takes part, degrees, or why it does not."""
        if face_id not in names:
            return ExcludedFace(face_id, "the photo is missing")
        try:
            angles = np.degrees(self._values(face_id)["Pose_Para"][0, :3])
        except FaceRejectedError as error:
            return ExcludedFace(face_id, str(error))
        implausible = self._implausible(angles)
        if implausible:
            return ExcludedFace(face_id, implausible)
        if self.reannotation and not open_reannotation(self.reannotation).knows(face_id):
            return ExcludedFace(face_id, f"the re-annotation {self.reannotation} has no such photo")
        return float(_half_turn(-angles[1]))

    def _implausible(self, angles: np.ndarray) -> str:
        """What is wrong with pitch, yaw and roll (3,), degrees; empty where nothing is."""
        judged = _half_turn(angles) if self.implausible == "wrap" else angles
        pitch, yaw, roll = np.abs(judged)
        most = _MAX_YAW_DEG[self.implausible]
        if yaw <= most and max(pitch, roll) <= _MAX_TURN_DEG:
            return ""
        told = ", ".join(
            f"{name} {angle:.0f}"
            for name, angle in zip(("pitch", "yaw", "roll"), judged, strict=True)
        )
        return (
            f"the fit's angles are not plausible: {told} degrees; up to {most:g} of yaw and "
            f"{_MAX_TURN_DEG:g} of the others are"
        )


def _half_turn(angle: Any) -> Any:
    """Degrees without full turns, from -180 to 180."""
    return (angle + 180) % 360 - 180


def _note(count: int) -> str:
    if count == _NUM_PHOTOS:
        return ""
    return f"AFLW2000-3D has {_NUM_PHOTOS:,} photos; {count:,} fits are here."
