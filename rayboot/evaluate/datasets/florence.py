"""MICC Florence: videos of people, with a 3D scan of each.

Scans are at ``subject_01/Model/frontal1/obj/<time>.obj``; their 68 landmarks are at the same path
in another tree, as ``.ljson``. Videos are at ``subject_01/Video/Indoor-Cooperative.mjpg``, or, if
their frames were extracted before, at ``subject_01/Indoor-Cooperative/0000.jpg``.
"""

import posixpath
import re
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Annotated, Any, ClassVar, Literal

import pyarrow as pa
from pydantic import Field, PositiveInt, model_validator

from rayboot.config import Uri
from rayboot.data.landmarks import read_landmarks
from rayboot.data.mesh_files import decode_mesh
from rayboot.data.readers import PHOTO_SUFFIXES, match_landmarks
from rayboot.errors import DegenerateInputError, FaceRejectedError, RequestError, ShapeError
from rayboot.evaluate.datasets.base import (
    DatasetListing,
    EvalDataset,
    ExcludedFace,
    GroundTruthFace,
)
from rayboot.evaluate.datasets.face_files import read_face_file, read_photo
from rayboot.evaluate.datasets.region import RegionConfig
from rayboot.evaluate.datasets.scan_landmarks import read_scan_landmarks
from rayboot.evaluate.datasets.scans import Scan, cut_scan, make_true_face, require_detector
from rayboot.evaluate.datasets.video import count_frames, read_frame
from rayboot.io.storage import join_uri, list_files

__all__ = ["FlorenceDataset", "VideoName"]

VideoName = Literal["cooperative", "indoor", "outdoor"]

_VIDEOS = {
    "cooperative": "Indoor-Cooperative.mjpg",
    "indoor": "PTZ-Indoor.mjpeg",
    "outdoor": "PTZ-Outdoor.mjpeg",
}
_NUM_SUBJECTS, _NUM_FRAMES = 53, 7752
"""Counts of the bootstrap paper."""

_NUM_READERS = 2
"""Number of subjects that are listed concurrently."""

_ROWS = pa.schema(
    [
        ("face_id", pa.string()),
        # URIs of the scan and of its landmarks.
        ("scan", pa.string()),
        ("scan_landmarks", pa.string()),
        # Either a photo, or a video and the number of a frame in it.
        ("photo", pa.string()),
        ("video", pa.string()),
        ("frame", pa.int64()),
        # Landmarks of the frame, or null.
        ("landmarks", pa.string()),
    ]
)


class FlorenceDataset(EvalDataset):
    """MICC Florence: one face per frame, with the scan of its person as truth."""

    truth: ClassVar[str] = "3D scan of the person, whose expression is not that of the frames"

    kind: Literal["florence"] = "florence"
    """Selects this type of dataset."""
    data: Uri
    """URI of the scans and videos."""
    landmarks: Uri
    """URI of the tree of the scans' landmarks, which mirrors that of the scans."""
    videos: Annotated[tuple[VideoName, ...], Field(min_length=1)] = ("cooperative",)
    """Which of the three videos of each person are used."""
    frames: Uri | None = None
    """URI of frames extracted from the videos, one folder per subject and video; a frame may have
    its 68 landmarks in a file of the same name. None: frames are decoded from the videos, without
    landmarks."""
    frame_step: PositiveInt = 1
    """Every n-th frame of each video is used, starting with the first."""
    scan: Literal["frontal1", "frontal2"] = "frontal1"
    """Which of the two frontal scans is the truth."""
    region: RegionConfig = RegionConfig(kind="radius", own_radius=95)
    """Part of the scan that is measured, by default within 95 mm of the tip of the nose, as is
    customary with these scans: 0.95 to 1.11 outer eye distances of the ten people whose landmarks
    were available."""

    @model_validator(mode="after")
    def _require_consistent_fields(self) -> "FlorenceDataset":
        if self.region.kind == "file":
            raise ValueError(
                "region: a file cannot select vertices, since every scan has vertices of its own; "
                "give a radius"
            )
        if len(set(self.videos)) != len(self.videos):
            raise ValueError(f"videos: name each video once, got {', '.join(self.videos)}")
        return self

    def list_faces(self) -> DatasetListing:
        """Lists the frames of people who have a scan with landmarks; counts the videos' frames.

        Raises:
            RequestError: There is no subject, or the face detector is required and not installed.
        """
        files = _FileNames(*(list_files(uri) if uri else [] for uri in self._uris()))
        if not files.subjects():
            raise RequestError(
                f"{self.data}: expected subject_NN folders for kind florence, found none; give the "
                "folder of MICC Florence, or another kind"
            )
        rows: list[dict[str, Any]] = []
        excluded: list[ExcludedFace] = []
        with ThreadPoolExecutor(_NUM_READERS, thread_name_prefix="subjects") as pool:
            for entries in pool.map(lambda name: self._list_subject(name, files), files.subjects()):
                rows += [entry for entry in entries if not isinstance(entry, ExcludedFace)]
                excluded += [entry for entry in entries if isinstance(entry, ExcludedFace)]
        if any(row["landmarks"] is None for row in rows):
            require_detector()
        table = pa.Table.from_pylist(rows, _ROWS).sort_by("face_id")
        return DatasetListing(table, excluded, _note(rows))

    def describe(self) -> dict[str, str]:
        """Returns facts about the dataset: frames, scans, and how they are aligned."""
        step = "every frame" if self.frame_step == 1 else f"one frame of {self.frame_step}"
        return {
            **super().describe(),
            "region": self.region.describe(),
            "scan": self.scan,
            "videos": f"{', '.join(self.videos)}; {step}",
            "placement": "by the landmarks of frame and scan where a frame has them, else by each "
            "model's own shape",
        }

    def read(self, row: Mapping[str, Any], size: int) -> GroundTruthFace:
        """Returns the crop of a frame, and the scan."""
        scan = _load_scan(row["scan"], row["scan_landmarks"], self.region)
        if isinstance(scan, FaceRejectedError):
            raise FaceRejectedError(scan.stage, scan.reason, scan.message)
        photo = (
            read_photo(row["photo"])
            if row["video"] is None
            else read_frame(row["video"], row["frame"])
        )
        landmarks = None
        if row["landmarks"] is not None:
            suffix = posixpath.splitext(row["landmarks"])[1].lower()
            payload = read_face_file(row["landmarks"])
            landmarks = read_landmarks(payload, suffix, photo.shape[1::-1])
        return make_true_face(row["face_id"], photo, scan, landmarks, size)

    def _uris(self) -> tuple[str, str, str | None]:
        return self.data, self.landmarks, self.frames

    def _list_subject(
        self, subject: str, files: "_FileNames"
    ) -> list[dict[str, Any] | ExcludedFace]:
        """Returns the rows and the excluded faces of a person."""
        scans = files.scans(subject, self.scan)
        with_landmarks = [name for name in scans if f"{name[:-4]}.ljson" in files.landmarks]
        if not scans:
            return [ExcludedFace(subject, f"no scan at Model/{self.scan}/obj/*.obj")]
        if len(with_landmarks) != 1:
            return [
                ExcludedFace(
                    subject,
                    f"expected one scan of {self.scan} with an .ljson of its name, got "
                    f"{len(with_landmarks)} of {len(scans)} ({', '.join(scans)})",
                )
            ]
        (scan,) = with_landmarks
        landmarks_uri = join_uri(self.landmarks, f"{scan[:-4]}.ljson")
        try:
            read_scan_landmarks(read_face_file(landmarks_uri), ".ljson")
        except (ShapeError, FaceRejectedError) as error:
            return [ExcludedFace(subject, f"{landmarks_uri}: {error}")]
        common = {"scan": join_uri(self.data, scan), "scan_landmarks": landmarks_uri}
        return [
            entry if isinstance(entry, ExcludedFace) else {**common, **entry}
            for video in self.videos
            for entry in self._list_video(subject, _VIDEOS[video], files)
        ]

    def _list_video(
        self, subject: str, file: str, files: "_FileNames"
    ) -> Iterable[dict[str, Any] | ExcludedFace]:
        name = f"{subject}/{posixpath.splitext(file)[0]}"
        if self.frames is not None:
            return self._list_extracted_frames(name, files)
        path = f"{subject}/Video/{file}"
        if path not in files.data:
            return [ExcludedFace(name, f"no video at {path}")]
        uri = join_uri(self.data, path)
        try:
            count, declared = count_frames(uri)
        except FaceRejectedError as error:
            return [ExcludedFace(name, str(error))]
        entries: list[dict[str, Any] | ExcludedFace] = [
            _row(f"{name}/{number:04d}", video=uri, frame=number)
            for number in range(0, count, self.frame_step)
        ]
        if (declared is not None and count < declared) or not count:
            reason = f"{count} frames can be decoded, the container declares {declared or 'none'}"
            entries.append(ExcludedFace(name, f"{uri}: {reason}"))
        return entries

    def _list_extracted_frames(
        self, name: str, files: "_FileNames"
    ) -> list[dict[str, Any] | ExcludedFace]:
        assert self.frames is not None
        names = files.in_folder(name)
        photos = [path for path in names if posixpath.splitext(path)[1].lower() in PHOTO_SUFFIXES]
        if not photos:
            return [ExcludedFace(name, f"no photo at {join_uri(self.frames, name)}")]
        landmarks_of = dict(zip(photos, match_landmarks(photos, dict.fromkeys(names)), strict=True))
        rows: list[dict[str, Any]] = []
        repeated: list[ExcludedFace] = []
        photo_by_stem: dict[str, str] = {}
        for path in photos:
            stem = posixpath.splitext(path)[0]
            if stem in photo_by_stem:
                repeated.append(ExcludedFace(path, f"{photo_by_stem[stem]} is the same frame"))
                continue
            photo_by_stem[stem] = path
            landmarks = landmarks_of[path]
            rows.append(
                _row(
                    stem,
                    photo=join_uri(self.frames, path),
                    landmarks=join_uri(self.frames, landmarks) if landmarks else None,
                )
            )
        # Repeated frames are reported whatever the step.
        return [*rows[:: self.frame_step], *repeated]


def _row(face_id: str, **known: Any) -> dict[str, Any]:
    empty = dict.fromkeys(("photo", "video", "frame", "landmarks"))
    return {**empty, "face_id": face_id, **known}


class _FileNames:
    """Names of the files in the dataset's folders."""

    def __init__(self, data: list[str], landmarks: list[str], frames: list[str]) -> None:
        self.data, self.landmarks = frozenset(data), frozenset(landmarks)
        self._all = (data, landmarks, frames)
        self._folders: dict[str, list[str]] = {}
        for name in frames:
            self._folders.setdefault(posixpath.dirname(name), []).append(name)

    def subjects(self) -> list[str]:
        first_parts = {name.split("/")[0] for names in self._all for name in names if "/" in name}
        return sorted(name for name in first_parts if re.fullmatch(r"subject_\d+", name))

    def scans(self, subject: str, scan: str) -> list[str]:
        folder = f"{subject}/Model/{scan}/obj/"
        return sorted(
            name for name in self.data if name.startswith(folder) and name.lower().endswith(".obj")
        )

    def in_folder(self, folder: str) -> list[str]:
        return sorted(self._folders.get(folder, ()))


# Errors are cached too, since a person has hundreds of frames.
@lru_cache(maxsize=2)
def _load_scan(uri: str, landmarks_uri: str, region: RegionConfig) -> Scan | FaceRejectedError:
    try:
        mesh = decode_mesh(read_face_file(uri), ".obj")
        return cut_scan(mesh, read_scan_landmarks(read_face_file(landmarks_uri), ".ljson"), region)
    except FaceRejectedError as error:
        return error
    except (DegenerateInputError, ShapeError) as error:
        return FaceRejectedError("read", "unusable-scan", f"{uri}: {error}")


def _note(rows: list[dict[str, Any]]) -> str:
    subjects = {row["face_id"].split("/")[0] for row in rows}
    notes = []
    if (len(subjects), len(rows)) != (_NUM_SUBJECTS, _NUM_FRAMES):
        notes.append(
            f"The bootstrap paper counts {_NUM_SUBJECTS} subjects and {_NUM_FRAMES:,} frames; "
            f"{len(subjects)} subjects and {len(rows):,} frames are measured here."
        )
    num_with_landmarks = sum(row["landmarks"] is not None for row in rows)
    if num_with_landmarks < len(rows):
        notes.append(f"{len(rows) - num_with_landmarks:,} of the frames have no landmarks.")
    return " ".join(notes)
