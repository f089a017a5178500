"""Writing previews: a page, or a contact sheet as one image, by the suffix of the file."""

from pathlib import Path

import numpy as np

from rayboot.counts import describe_count
from rayboot.data.images import encode_image
from rayboot.data.readers import list_photos
from rayboot.errors import RequestError
from rayboot.io.storage import write_bytes
from rayboot.pipeline.generate_config import GenerateConfig
from rayboot.pipeline.listing import require_other_folder
from rayboot.pipeline.preview.faces import make_cards
from rayboot.pipeline.preview.page import CardGroup, PreviewPage, describe_pairs, render_page
from rayboot.pipeline.preview.sheet import draw_sheet, pairs_sheet

__all__ = ["preview_photos", "write_preview"]

_SUFFIXES = (".html", ".png", ".jpg")


def write_preview(uri: str, out: Path, num_faces: int = 24) -> Path:
    """Writes the page of a pairs data set, or a contact sheet, by the suffix of ``out``.

    Args:
        uri: URI of the data set, finished or not.
        out: file to write.
        num_faces: maximum number of faces of a contact sheet.

    Raises:
        RequestError: the suffix is not supported, or the data set contains nothing to show.
    """
    if _is_page(out):
        return _write(out, render_page(describe_pairs(uri)).encode())
    return _write(out, _encode(out, pairs_sheet(uri, num_faces)))


def preview_photos(config: GenerateConfig, uri: str, out: Path, num_faces: int = 8) -> Path:
    """Writes a page or a contact sheet of the pairs that ``config`` would make of a few photos.

    They are generated in this process, without Ray.

    Raises:
        RequestError: the suffix is not supported, or ``out`` is among the photos; there is no
            photo or no such model, or none of the photos tried gives a pair.
    """
    # It brings torch and OpenGL, which the page of a data set does not need.
    from rayboot.pipeline.dry_run import generate_in_process

    is_page = _is_page(out)
    require_other_folder(uri, str(out))
    try:
        faces = generate_in_process(config, list_photos(uri), num_faces)
    except RequestError as error:
        raise RequestError(f"{uri}: {error}") from error
    if not is_page:
        return _write(out, _encode(out, draw_sheet(faces)))
    group = CardGroup(
        "Faces and views",
        "First the crop that the network receives, then its views by yaw. Views that would leave "
        "the volume are left out.",
        make_cards(faces),
    )
    summary = f"What this config makes of {describe_count(len(faces), 'photo')}."
    return _write(out, render_page(PreviewPage(f"Pairs of {uri}", summary, [group])).encode())


def _is_page(out: Path) -> bool:
    """Whether a file is a page; else it is an image.

    Raises:
        RequestError: the suffix is of neither.
    """
    if out.suffix.lower() not in _SUFFIXES:
        raise RequestError(
            f"preview {out}: the suffix must be one of {', '.join(_SUFFIXES)}, "
            f"got {out.suffix or 'none'}"
        )
    return out.suffix.lower() == ".html"


def _encode(out: Path, sheet: np.ndarray) -> bytes:
    return encode_image(sheet, "png" if out.suffix.lower() == ".png" else "jpeg")


def _write(out: Path, content: bytes) -> Path:
    write_bytes(str(out), content)
    return out
