"""Contact sheets of a pairs data set: each source photo with its views."""

import base64
import html
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from rayboot.data.images import decode_photo, encode_image
from rayboot.data.readers import list_photos
from rayboot.data.subsets import evenly_spaced
from rayboot.errors import RequestError
from rayboot.io.parquet import count_rows, read_table
from rayboot.io.storage import join_uri, write_bytes
from rayboot.pipeline.dry_run import generate_in_process
from rayboot.pipeline.generate_config import GenerateConfig
from rayboot.pipeline.generate_summary import list_row_files
from rayboot.pipeline.listing import require_other_folder
from rayboot.render.contact_sheet import contact_sheet

__all__ = ["pairs_sheet", "preview_photos", "write_preview"]

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
    return _draw_sheet(faces)


def write_preview(uri: str, out: Path, num_faces: int = 24) -> Path:
    """Writes a contact sheet of a pairs data set: a page or an image, by the suffix of ``out``.

    Raises:
        RequestError: the suffix is not supported, or the data set contains no face.
    """
    write_sheet = _choose_writer(out)
    return write_sheet(out, f"Pairs of {uri}", pairs_sheet(uri, num_faces))


def preview_photos(config: GenerateConfig, uri: str, out: Path, num_faces: int = 8) -> Path:
    """Writes a contact sheet of the pairs that ``config`` would generate from a few photos.

    They are generated in this process, without Ray.

    Raises:
        RequestError: the suffix is not supported, or ``out`` is among the photos; there is no
            photo or no such model, or none of the photos tried gives a pair.
    """
    write_sheet = _choose_writer(out)
    require_other_folder(uri, str(out))
    try:
        faces = generate_in_process(config, list_photos(uri), num_faces)
    except RequestError as error:
        raise RequestError(f"{uri}: {error}") from error
    return write_sheet(out, f"{uri} with this config", _draw_sheet(faces))


def _choose_writer(out: Path) -> Callable[[Path, str, np.ndarray], Path]:
    writers = {".html": _write_page, ".png": _write_image, ".jpg": _write_image}
    if out.suffix.lower() not in writers:
        raise RequestError(
            f"preview {out}: the suffix must be one of {', '.join(writers)}, "
            f"got {out.suffix or 'none'}"
        )
    return writers[out.suffix.lower()]


def _write_image(out: Path, title: str, sheet: np.ndarray) -> Path:
    write_bytes(str(out), encode_image(sheet, "png" if out.suffix.lower() == ".png" else "jpeg"))
    return out


def _write_page(out: Path, title: str, sheet: np.ndarray) -> Path:
    data = base64.b64encode(encode_image(sheet, "jpeg")).decode()
    name = html.escape(title)
    page = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{name}</title>'
        f'<body style="font: 16px system-ui, sans-serif; margin: 2rem"><h1>{name}</h1>'
        "<p>Each row shows the crop that the network receives, then its views by yaw. An empty "
        "place is a view that was left out.</p>"
        f'<img alt="{name}" style="max-width: 100%" src="data:image/jpeg;base64,{data}">'
    )
    write_bytes(str(out), page.encode())
    return out


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


def _draw_sheet(faces: list[dict[str, Any]]) -> np.ndarray:
    """Returns a sheet with one row per face and one column per turn."""
    turns = sorted({_turn(view) for face in faces for view in face["views"]})
    rows: list[list[np.ndarray | None]] = []
    for face in faces:
        views = {_turn(view): _resize(decode_photo(view["image"])) for view in face["views"]}
        photo = _resize(decode_photo(face["image"]))
        rows.append([photo, *(views.get(turn) for turn in turns)])
    return contact_sheet(
        rows,
        columns=["photo", *map(_format_turn, turns)],
        names=[face["face_id"] for face in faces],
    )


def _turn(view: dict[str, Any]) -> tuple[int, int]:
    """Returns the yaw and the pitch that were applied to a view, whole degrees."""
    return round(view["yaw_deg"]), round(view["pitch_deg"])


def _format_turn(turn: tuple[int, int]) -> str:
    yaw_deg, pitch_deg = turn
    pitch = f", pitch {pitch_deg:+d}°" if pitch_deg else ""
    return f"yaw {yaw_deg:+d}°{pitch}"


def _resize(image: np.ndarray) -> np.ndarray:
    method = cv2.INTER_AREA if image.shape[0] > _CELL_SIZE else cv2.INTER_LANCZOS4
    return cv2.resize(image, (_CELL_SIZE, _CELL_SIZE), interpolation=method)
