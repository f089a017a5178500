"""Contact sheets of pairs: each source photo with its views, in one image."""

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np

from rayboot.data.images import decode_photo
from rayboot.data.subsets import evenly_spaced
from rayboot.errors import RequestError
from rayboot.io.parquet import count_rows, read_table
from rayboot.io.storage import join_uri
from rayboot.pipeline.generate_summary import list_row_files
from rayboot.render.contact_sheet import contact_sheet

__all__ = ["draw_sheet", "format_turn", "pairs_sheet", "view_turn"]

_CELL_SIZE = 144
"""Width of an image of a sheet, px."""


def pairs_sheet(uri: str, num_faces: int = 12) -> np.ndarray:
    """Returns a contact sheet (H, W, 3) uint8, one row per face: the crop, then its views by yaw.

    Args:
        uri: URI of a pairs data set, finished or not.
        num_faces: maximum number of faces, spread evenly over the data set.

    Raises:
        RequestError: the data set contains no face.
    """
    faces = _read_faces(uri, num_faces)
    if not faces:
        raise RequestError(f"{uri}: expected a pairs data set, but it contains no face to show")
    return draw_sheet(faces)


def _read_faces(uri: str, count: int) -> list[dict[str, Any]]:
    """Reads the images of at most ``count`` faces, spread evenly over the data set."""
    # A run that is under way, or was interrupted, has files that are cut off.
    names = [name for name in list_row_files(uri) if name.startswith("outcome=face/")]
    sizes = [count_rows(join_uri(uri, name)) for name in names]
    starts = np.cumsum([0, *sizes])
    selected = evenly_spaced(int(starts[-1]), count)
    faces: list[dict[str, Any]] = []
    for name, start, size in zip(names, starts, sizes, strict=False):
        in_file = selected[(selected >= start) & (selected < start + size)] - start
        if len(in_file):
            table = read_table(join_uri(uri, name), columns=["face_id", "image", "views"])
            faces += table.take(in_file).to_pylist()
    return faces


def draw_sheet(faces: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """Returns a sheet (H, W, 3) uint8 with one row per face and one column per turn.

    Args:
        faces: rows of :data:`rayboot.data.schema.PAIRS_SCHEMA` with ``face_id``, ``image`` and
            ``views``; at least one.
    """
    turns = sorted({view_turn(view) for face in faces for view in face["views"]})
    rows: list[list[np.ndarray | None]] = []
    for face in faces:
        views = {view_turn(view): _resize(decode_photo(view["image"])) for view in face["views"]}
        photo = _resize(decode_photo(face["image"]))
        rows.append([photo, *(views.get(turn) for turn in turns)])
    return contact_sheet(
        rows,
        columns=["photo", *map(format_turn, turns)],
        names=[face["face_id"] for face in faces],
    )


def view_turn(view: Mapping[str, Any]) -> tuple[int, int]:
    """Returns the yaw and the pitch that were applied to a view, whole degrees."""
    return round(view["yaw_deg"]), round(view["pitch_deg"])


def format_turn(turn: tuple[int, int]) -> str:
    """Returns the name of a view that was turned by a yaw and a pitch, whole degrees."""
    yaw_deg, pitch_deg = turn
    pitch = f", pitch {pitch_deg:+d}°" if pitch_deg else ""
    return f"yaw {yaw_deg:+d}°{pitch}"


def _resize(image: np.ndarray) -> np.ndarray:
    method = cv2.INTER_AREA if image.shape[0] > _CELL_SIZE else cv2.INTER_LANCZOS4
    return cv2.resize(image, (_CELL_SIZE, _CELL_SIZE), interpolation=method)
