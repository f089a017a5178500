"""The faces of a pairs data set that the page shows, and the numbers of all of them.

Of a large data set only the columns with numbers are read. Images are read of the faces that are
shown alone, from the row groups that contain them.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rayboot.data.images import decode_photo, make_thumbnail
from rayboot.data.row_index import index_rows, read_rows
from rayboot.io.parquet import read_some_rows
from rayboot.io.storage import join_uri
from rayboot.pipeline.preview.sheet import format_turn, view_turn

__all__ = ["FaceCard", "FaceIndex", "FaceRow", "ViewImage", "index_faces", "make_cards"]

SEED = 0
"""Seed of the random sample: the same data set shows the same faces."""

_CARD_SIDE, _ROW_SIDE = 160, 96
"""Sides of the images of cards and of rows, px."""

_COLUMNS = ("face_id", "split", "pose_confidence", "gaze", "views.list.element.view_gaze")


class ViewImage(NamedTuple):
    """An image of a card: JPEG bytes, and the name of the turn."""

    image: bytes
    name: str


class FaceRow(NamedTuple):
    """Numbers of a face, and the image of its crop.

    Attributes:
        face_id: id of the face.
        confidence: confidence of its pose, from 0 to 1; NaN where it is unknown.
        yaw_deg: yaw in the photo; NaN where it is unknown.
        split: ``train`` or ``val``.
        num_views: number of its views.
        view_yaws_deg: smallest and largest yaw of the views; NaN without views.
        image: JPEG bytes of the crop.
    """

    face_id: str
    confidence: float
    yaw_deg: float
    split: str
    num_views: int
    view_yaws_deg: tuple[float, float]
    image: bytes


class FaceCard(NamedTuple):
    """A face with its views.

    Attributes:
        face_id: id of the face.
        confidence: confidence of its pose; NaN where it is unknown.
        yaw_deg: yaw in the photo; NaN where it is unknown.
        images: the crop, then the views by yaw.
    """

    face_id: str
    confidence: float
    yaw_deg: float
    images: Sequence[ViewImage]


class FaceIndex:
    """Numbers of all faces of a data set, and where each is.

    Attributes:
        confidence: (N,) float64, NaN where it is unknown.
        yaw_deg: (N,) float64, yaw in the photo, NaN where it is unknown.
        view_yaws_deg: (M,) float64, yaw of every view, those of one face after each other.
    """

    def __init__(self, uri: str, table: pa.Table) -> None:
        """Args: URI of the data set, and what :func:`index_rows` returns for its columns."""
        self._uri = uri
        self._places = table.select(["face_id", "file", "row"])
        self._splits = table["split"]
        confidence = pc.fill_null(table["pose_confidence"], np.nan)
        self.confidence = confidence.to_numpy().astype(np.float64)
        self.yaw_deg = _yaws_deg(table["gaze"].combine_chunks())
        views = table["views"].combine_chunks()
        self._view_starts = np.cumsum([0, *pc.fill_null(pc.list_value_length(views), 0).to_numpy()])
        self.view_yaws_deg = _yaws_deg(pc.struct_field(views.flatten(), "view_gaze"))

    def __len__(self) -> int:
        return len(self._places)

    def least_confident(self, count: int) -> np.ndarray:
        """Returns the numbers of the faces with the lowest confidences, the lowest first."""
        known = np.flatnonzero(np.isfinite(self.confidence))
        return known[np.argsort(self.confidence[known], kind="stable")[:count]]

    def most_turned(self, count: int) -> np.ndarray:
        """Returns the numbers of the faces with the largest absolute yaws in the photo."""
        known = np.flatnonzero(np.isfinite(self.yaw_deg))
        return known[np.argsort(-np.abs(self.yaw_deg[known]), kind="stable")[:count]]

    def random(self, count: int) -> np.ndarray:
        """Returns the numbers of randomly drawn faces, by their ids: no order of files matters."""
        drawn = np.random.default_rng(SEED).permutation(len(self))[:count]
        return np.sort(drawn)

    def read_cards(self, numbers: np.ndarray) -> list[FaceCard]:
        """Reads faces with their views, in the order of their numbers."""
        return [
            _make_card(face, float(self.confidence[number]), float(self.yaw_deg[number]))
            for number, face in zip(numbers, self._read(numbers, ["image", "views"]), strict=True)
        ]

    def read_rows(self, numbers: np.ndarray) -> list[FaceRow]:
        """Reads faces with their numbers and crops, in the order of their numbers."""
        return [
            self._make_row(int(number), face["image"])
            for number, face in zip(numbers, self._read(numbers, ["image"]), strict=True)
        ]

    def _read(self, numbers: np.ndarray, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
        if not len(numbers):
            return iter(())
        read_file = partial(_read_file, self._uri, ["face_id", *columns])
        return read_rows(self._places.take(pa.array(numbers)), self._uri, read_file)

    def _make_row(self, number: int, image: bytes) -> FaceRow:
        start, stop = self._view_starts[number : number + 2]
        yaws_deg = self.view_yaws_deg[start:stop]
        known = yaws_deg[np.isfinite(yaws_deg)]
        return FaceRow(
            face_id=self._places["face_id"][number].as_py(),
            confidence=float(self.confidence[number]),
            yaw_deg=float(self.yaw_deg[number]),
            split=self._splits[number].as_py() or "",
            num_views=len(yaws_deg),
            view_yaws_deg=(float(known.min()), float(known.max())) if len(known) else (np.nan,) * 2,
            image=make_thumbnail(decode_photo(image), _ROW_SIDE),
        )


def index_faces(uri: str, files: Sequence[str]) -> FaceIndex:
    """Reads the numbers of all faces.

    Args:
        uri: URI of the data set, finished or not.
        files: files of faces, relative to ``uri``; at least one.

    Raises:
        StoreError: the store stays unavailable.
    """
    return FaceIndex(uri, index_rows(uri, files, _COLUMNS))


def make_cards(faces: Sequence[Mapping[str, Any]]) -> list[FaceCard]:
    """Returns cards of rows of :data:`rayboot.data.schema.PAIRS_SCHEMA`."""
    gaze = pa.array([face["gaze"] for face in faces], pa.list_(pa.float32()))
    return [
        _make_card(face, float(face["pose_confidence"]), float(yaw_deg))
        for face, yaw_deg in zip(faces, _yaws_deg(gaze), strict=True)
    ]


def _make_card(face: Mapping[str, Any], confidence: float, yaw_deg: float) -> FaceCard:
    views = sorted(face["views"] or [], key=view_turn)
    images = [ViewImage(_shrink(face["image"]), "photo")]
    images += [ViewImage(_shrink(view["image"]), _name_view(view)) for view in views]
    return FaceCard(face["face_id"], confidence, yaw_deg, images)


def _name_view(view: Mapping[str, Any]) -> str:
    """Returns the name of a view: its turn, since its pose is that of the photo and the turn."""
    turn = view_turn(view)
    if not any(turn):
        return "not turned"
    return f"turned {format_turn(turn).removeprefix('yaw ')}".replace("-", "−")


def _shrink(image: bytes) -> bytes:
    return make_thumbnail(decode_photo(image), _CARD_SIDE)


def _read_file(uri: str, columns: Sequence[str], name: str, rows: list[int]) -> pa.Table:
    return read_some_rows(join_uri(uri, name), rows, columns)


def _yaws_deg(gazes: pa.Array) -> np.ndarray:
    """Returns the yaw (N,) of gazes (N lists of 3 floats), NaN where a gaze is null."""
    yaws_deg = np.full(len(gazes), np.nan)
    is_known = gazes.is_valid().to_numpy(zero_copy_only=False)
    vectors = gazes.drop_null().flatten().to_numpy(zero_copy_only=False).reshape(-1, 3)
    # As geometry.camera.gaze_angles, for millions of them.
    sine = vectors[:, 0] / np.linalg.norm(vectors, axis=1)
    yaws_deg[is_known] = np.degrees(np.arcsin(np.clip(sine, -1.0, 1.0)))
    return yaws_deg
