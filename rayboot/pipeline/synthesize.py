"""Writing a synthetic data set in the layout of LS3D-W, with its ground truth.

``Synthetic-3D/NNNNNN.jpg`` and ``.t7`` are photos and landmarks as in the real data set;
``truth/`` contains shapes and poses, which a real data set does not have.
"""

import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from typing import NamedTuple

import cv2
import pyarrow as pa
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from rayboot.data.ground_truth import TRUTH_SCHEMA, write_topology, write_truth
from rayboot.geometry.head_model import load_head_model
from rayboot.io.storage import join_uri, write_bytes
from rayboot.io.torch7 import write_torch7
from rayboot.render import Renderer
from rayboot.synthesis.synthesis_config import SynthesisConfig
from rayboot.synthesis.synthetic_face import make_face

__all__ = ["synthesize"]

_FOLDER = "Synthetic-3D"
_PHOTOS_PER_PART = 50
"""Number of photos in one file of the ground truth, which one process makes at a time."""


class _Part(NamedTuple):
    """The photos of one file of the ground truth."""

    config: SynthesisConfig
    output_uri: str
    file_number: int
    numbers: range


def synthesize(config: SynthesisConfig, output_uri: str, num_workers: int | None = None) -> int:
    """Makes photos of faces whose shape is known.

    Every photo depends only on the config and its own number, so the number of workers changes
    nothing.

    Args:
        config: settings of the data set.
        output_uri: URI of the data set.
        num_workers: number of processes; by default one per core.

    Returns:
        Number of photos.
    """
    total = config.num_identities * config.photos_per_identity
    parts = [
        _Part(config, output_uri, file_number, range(start, min(start + _PHOTOS_PER_PART, total)))
        for file_number, start in enumerate(range(0, total, _PHOTOS_PER_PART))
    ]
    num_workers = min(num_workers or len(os.sched_getaffinity(0)), len(parts))
    with tqdm(total=total, desc="synthesize", unit="photo", mininterval=1.0) as bar:
        for num_photos in _make_parts(parts, num_workers):
            bar.update(num_photos)
    write_topology(output_uri, load_head_model().front_faces)
    return total


def _make_parts(parts: list[_Part], num_workers: int) -> Iterator[int]:
    if num_workers <= 1:
        yield from map(_make_part, parts)
        return
    # Spawned instead of forked: an OpenGL context does not survive a fork.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(num_workers, context, initializer=_use_one_thread) as pool:
        yield from pool.map(_make_part, parts)


def _use_one_thread() -> None:
    # Every core has a process already, so more threads would only compete for cores.
    threadpool_limits(1)
    cv2.setNumThreads(1)


@cache
def _renderer(size: int) -> Renderer:
    return Renderer(size)


def _make_part(part: _Part) -> int:
    """Writes the photos, landmarks and ground truth of a part; returns its number of photos."""
    rows = []
    for number in part.numbers:
        stem = f"{_FOLDER}/{number:06d}"
        face = make_face(part.config, number, f"{stem}.jpg", _renderer(part.config.photo_size))
        write_bytes(join_uri(part.output_uri, f"{stem}.jpg"), face.photo.jpeg)
        write_bytes(join_uri(part.output_uri, f"{stem}.t7"), write_torch7(face.photo.landmarks))
        rows.append(face.truth)
    table = pa.Table.from_pylist(rows, schema=TRUTH_SCHEMA)
    write_truth(part.output_uri, part.file_number, table)
    return len(part.numbers)
