"""The page of a pairs data set: what one wants to check before training on it."""

from collections.abc import Sequence
from importlib import resources
from typing import Any, NamedTuple

import numpy as np

from rayboot.counts import describe_count
from rayboot.data.manifest import read_manifest
from rayboot.errors import RequestError
from rayboot.pages import render_document
from rayboot.pipeline.generate_summary import list_row_files
from rayboot.pipeline.preview.faces import FaceCard, FaceIndex, FaceRow, index_faces
from rayboot.pipeline.preview.histograms import HEIGHT, WIDTH, Histogram, make_histogram
from rayboot.pipeline.preview.rejects import RejectGroup, read_reject_groups

__all__ = ["CardGroup", "PreviewPage", "describe_pairs", "render_page"]

NUM_CARDS = 12
"""Number of the least confident faces, and of randomly drawn ones, that are shown with views."""

MAX_ROWS = 200
"""Maximum number of faces of the table."""


class CardGroup(NamedTuple):
    """Faces that are shown with their views.

    Attributes:
        title: title of the section.
        text: which faces these are.
        cards: the faces.
    """

    title: str
    text: str
    cards: Sequence[FaceCard]


class PreviewPage(NamedTuple):
    """Content of the page.

    Attributes:
        title: title of the page.
        summary: numbers of faces and rejects, a sentence or two.
        groups: faces with their views.
        histograms: histograms of all faces; empty omits the section.
        rows: faces of the table; empty omits the section.
        rows_text: which faces these are.
        rejects: rejected photos; None omits the section.
    """

    title: str
    summary: str
    groups: Sequence[CardGroup]
    histograms: Sequence[Histogram] = ()
    rows: Sequence[FaceRow] = ()
    rows_text: str = ""
    rejects: Sequence[RejectGroup] | None = None


def render_page(page: PreviewPage) -> str:
    """Returns the page as HTML that needs no other file and no network."""
    values: dict[str, Any] = {**page._asdict(), "width": WIDTH, "height": HEIGHT}
    return render_document(_read("page.html.j2"), values, _read("page.css"))


def describe_pairs(uri: str) -> PreviewPage:
    """Reads what the page of a data set shows, which is finished or not.

    Raises:
        RequestError: there is neither a face nor a reject.
        StoreError: the store stays unavailable.
    """
    # A run that is under way, or was interrupted, has files that are cut off.
    names = list_row_files(uri)
    face_files = [name for name in names if name.startswith("outcome=face/")]
    reject_files = [name for name in names if name.startswith("outcome=reject/")]
    if not names:
        raise RequestError(
            f"{uri}: expected a pairs data set, but it contains neither a face nor a reject; to "
            "preview photos, name a config of generate with --config"
        )
    rejects = read_reject_groups(uri, reject_files)
    faces = index_faces(uri, face_files) if face_files else None
    page = PreviewPage(f"Pairs of {uri}", _summarize(uri, faces, rejects), [], rejects=rejects)
    if faces is None:
        return page
    rows, rows_text = _choose_rows(faces)
    return page._replace(
        groups=_card_groups(faces),
        histograms=_histograms(faces),
        rows=faces.read_rows(rows),
        rows_text=rows_text,
    )


def _summarize(uri: str, faces: FaceIndex | None, rejects: Sequence[RejectGroup]) -> str:
    num_faces = 0 if faces is None else len(faces)
    num_views = 0 if faces is None else len(faces.view_yaws_deg)
    num_rejects = sum(group.num_photos for group in rejects)
    sentences = [
        f"{describe_count(num_faces, 'face')} with {describe_count(num_views, 'view')}",
        f"{describe_count(num_rejects, 'photo', 'was', 'were')} rejected"
        + (f" ({num_rejects / (num_faces + num_rejects):.1%} of all)" if num_rejects else ""),
    ]
    if read_manifest(uri) is None:
        sentences.append("The data set is unfinished: this is what is written so far")
    return ". ".join(sentences) + "."


def _card_groups(faces: FaceIndex) -> list[CardGroup]:
    groups = []
    if len(least := faces.least_confident(NUM_CARDS)):
        text = (
            "The faces whose pose is the least certain, the lowest confidence first. Look for "
            "heads that are twisted, too flat, or no faces at all; selection.min_confidence of "
            "the config rejects all below a limit."
        )
        groups.append(CardGroup("Least confident faces", text, faces.read_cards(least)))
    drawn = faces.random(NUM_CARDS)
    if len(drawn) == len(faces):
        text = "All faces of the data set."
    else:
        text = f"{len(drawn)} of {len(faces):,} faces, the same each time."
    groups.append(CardGroup("Random faces", text, faces.read_cards(drawn)))
    return groups


def _histograms(faces: FaceIndex) -> list[Histogram]:
    made = (
        make_histogram("Yaw of the photos", "face", faces.yaw_deg, "degrees"),
        make_histogram("Yaw of the views", "view", faces.view_yaws_deg, "degrees"),
        make_histogram("Confidence of the pose", "face", faces.confidence, "fraction"),
    )
    return [histogram for histogram in made if histogram is not None]


def _choose_rows(faces: FaceIndex) -> tuple[np.ndarray, str]:
    """Returns the numbers of the faces of the table, and which they are."""
    if len(faces) <= MAX_ROWS:
        return np.arange(len(faces)), f"All {len(faces)} faces."
    quarter = MAX_ROWS // 4
    chosen = [
        faces.least_confident(quarter),
        faces.most_turned(quarter),
        faces.random(MAX_ROWS - 2 * quarter),
    ]
    rows = np.unique(np.concatenate(chosen))
    return rows, (
        f"{len(rows)} of {len(faces):,} faces: the {quarter} least confident, the {quarter} with "
        "the largest yaw in the photo, and others drawn at random."
    )


def _read(name: str) -> str:
    return resources.files("rayboot.pipeline.preview").joinpath(name).read_text("utf-8")
