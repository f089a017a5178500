"""Contact sheets of a pairs data set: each source photo with its views."""

import base64
import html
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq

from rayboot.data.images import decode_photo, encode_image
from rayboot.data.readers import list_photos
from rayboot.errors import RequestError
from rayboot.io.storage import join_uri, list_files, open_file, write_bytes
from rayboot.pipeline.dry_run import generate_in_process
from rayboot.pipeline.generate_config import GenerateConfig
from rayboot.render.contact_sheet import contact_sheet

__all__ = ["pairs_sheet", "preview_photos", "write_preview"]

_MAX_SIDE = 128


def pairs_sheet(uri: str, num_faces: int = 12) -> np.ndarray:
    """A row a face, (H, W, 3) uint8: the source photo, then its views by yaw.

    Args:
        uri: of a pairs data set, finished or not.
        num_faces: shown at most, spread evenly over the set.

    Raises:
        RequestError: no face is there.
    """
    faces = _some_faces(uri, num_faces)
    if not faces:
        raise RequestError(f"{uri}: no face to show; give a pairs data set")
    return contact_sheet([_row(face) for face in faces])


def write_preview(uri: str, out: Path, num_faces: int = 24) -> Path:
    """Writes a contact sheet of a pairs data set: a page or an image, by the suffix of ``out``.

    Raises:
        RequestError: another suffix, or no face is there.
    """
    write = _writer(out)
    return write(out, f"Pairs of {uri}", pairs_sheet(uri, num_faces))


def preview_photos(config: GenerateConfig, uri: str, out: Path, num_faces: int = 8) -> Path:
    """Writes what ``config`` would make of a few photos; in this process, without Ray.

    Raises:
        RequestError: a suffix that is no picture's, no photo or model, or none of the
            photos tried gives a pair.
    """
    write = _writer(out)
    try:
        faces = generate_in_process(config, list_photos(uri), num_faces)
    except RequestError as error:
        raise RequestError(f"{uri}: {error}") from error
    return write(out, f"{uri} as this config sees it", contact_sheet([_row(f) for f in faces]))


def _writer(out: Path) -> Callable[[Path, str, np.ndarray], Path]:
    writers = {".html": _write_page, ".png": _write_image, ".jpg": _write_image}
    if out.suffix.lower() not in writers:
        raise RequestError(f"preview {out}: the suffix must be one of {', '.join(writers)}")
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
        "<p>First the photo as the network sees it, then its views by yaw.</p>"
        f'<img alt="{name}" style="max-width: 100%" src="data:image/jpeg;base64,{data}">'
    )
    write_bytes(str(out), page.encode())
    return out


def _some_faces(uri: str, count: int) -> list[dict]:
    names = [n for n in list_files(uri) if n.startswith("outcome=face/") and n.endswith(".parquet")]
    sizes = [pq.read_metadata(open_file(join_uri(uri, name))).num_rows for name in names]
    starts = np.cumsum([0, *sizes])
    chosen = np.unique(np.linspace(0, starts[-1] - 1, min(count, starts[-1])).round().astype(int))
    rows = []
    for name, start, size in zip(names, starts, sizes, strict=False):
        inside = chosen[(chosen >= start) & (chosen < start + size)] - start
        if len(inside):
            table = pq.read_table(
                open_file(join_uri(uri, name)),
                columns=["face_id", "image", "views"],
                partitioning=None,
            )
            rows += table.take(inside).to_pylist()
    return rows


def _row(face: dict) -> list[np.ndarray]:
    views = sorted(face["views"], key=lambda view: (view["yaw_deg"], view["pitch_deg"]))
    return [_small(decode_photo(data)) for data in (face["image"], *(v["image"] for v in views))]


def _small(image: np.ndarray) -> np.ndarray:
    if image.shape[0] <= _MAX_SIDE:
        return image
    return cv2.resize(image, (_MAX_SIDE, _MAX_SIDE), interpolation=cv2.INTER_AREA)
