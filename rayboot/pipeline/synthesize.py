"""Writing a synthesised set: LS3D-W's layout, with the truth beside it.

``Synthetic-3D/NNNNNN.jpg`` and ``.t7`` are read as the real data set is;
``truth/`` holds what no real one has.
"""

import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import cache

import cv2
import numpy as np
import pyarrow as pa
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from rayboot.data.ground_truth import TRUTH_SCHEMA, write_topology, write_truth
from rayboot.geometry.camera import gaze_angles, transform_points
from rayboot.geometry.crop import landmark_crop
from rayboot.geometry.face_solid import build_face_solid, fill_volume, solid_bounds
from rayboot.geometry.head_model import load_head_model
from rayboot.geometry.landmarks68 import interocular_distance
from rayboot.geometry.volume import pack_occupancy
from rayboot.io.storage import join_uri, write_bytes
from rayboot.io.torch7 import write_torch7
from rayboot.render import Renderer
from rayboot.synthesis.photo import Photo, take_photo
from rayboot.synthesis.sampling import FaceSample, draw_sample
from rayboot.synthesis.synthesis_config import SynthesisConfig

__all__ = ["synthesize"]

_FOLDER = "Synthetic-3D"
_PART = 50
"""Photos in one file of the truth table, and the work of one process at a time."""


def synthesize(config: SynthesisConfig, output_uri: str, num_workers: int | None = None) -> int:
    """Makes a set of photographs of faces whose shape is known.

    Every photo depends on the config and its own number alone, so the number of
    workers changes nothing.

    Args:
        config: of the set.
        output_uri: where it goes.
        num_workers: processes; by default one a core.

    Returns:
        The number of photos.
    """
    total = config.num_identities * config.photos_per_identity
    parts = [
        (config, output_uri, part, range(start, min(start + _PART, total)))
        for part, start in enumerate(range(0, total, _PART))
    ]
    num_workers = min(num_workers or len(os.sched_getaffinity(0)), len(parts))
    with tqdm(total=total, desc="synthesize", unit="photo", mininterval=1.0) as bar:
        for count in _run(parts, num_workers):
            bar.update(count)
    write_topology(output_uri, load_head_model().front_faces)
    return total


def _run(parts: list[tuple], num_workers: int) -> Iterator[int]:
    if num_workers <= 1:
        yield from map(_make_part, parts)
        return
    # Spawned, not forked: an OpenGL context does not survive a fork.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(num_workers, context, initializer=_compute_alone) as pool:
        yield from pool.map(_make_part, parts)


def _compute_alone() -> None:
    # With a process on every core, threads of their own only get in each other's way.
    threadpool_limits(1)
    cv2.setNumThreads(1)


@cache
def _renderer(size: int) -> Renderer:
    return Renderer(size)


def _make_part(work: tuple[SynthesisConfig, str, int, range]) -> int:
    config, output_uri, part, numbers = work
    rows = []
    for number in numbers:
        identity, photo_number = divmod(number, config.photos_per_identity)
        identity += config.first_identity
        sample = draw_sample(config, load_head_model(), identity, photo_number)
        photo = take_photo(
            sample, load_head_model(), _renderer(config.photo_size), config.photo_size
        )
        stem = f"{_FOLDER}/{number:06d}"
        write_bytes(join_uri(output_uri, f"{stem}.jpg"), photo.jpeg)
        write_bytes(join_uri(output_uri, f"{stem}.t7"), write_torch7(photo.landmarks))
        rows.append(_truth(f"{stem}.jpg", f"identity-{identity:06d}", config, sample, photo))
    write_truth(output_uri, part, pa.Table.from_pylist(rows, schema=TRUTH_SCHEMA))
    return len(numbers)


def _truth(
    face_id: str, group_id: str, config: SynthesisConfig, sample: FaceSample, photo: Photo
) -> dict:
    model, size = load_head_model(), config.crop_size
    crop = landmark_crop(photo.landmarks, size)
    crop_from_head = _crop_from_head(crop, photo.photo_from_head, config.photo_size, size)
    unit = np.linalg.det(crop_from_head[:, :3]) ** (1 / 3)
    jaw = photo.head[model.landmarks[:17]]
    # Teeth and lids included: what the camera sees from the front is the front.
    solid = build_face_solid(photo.head, model.faces, jaw, config.solid_depth * size / 192 / unit)
    crop_from_head[2, 3] -= solid_bounds(solid, crop_from_head)[:, 2].mean()
    landmarks = transform_points(crop_from_head, photo.head[model.landmarks])
    rotation = sample.rotation
    yaw, pitch = np.degrees(gaze_angles(rotation[:, 2]))
    shape = (config.slices, size, size)
    return {
        "face_id": face_id,
        "group_id": group_id,
        "crop": crop.ravel(),
        "shape": list(shape),
        "occupancy": pack_occupancy(fill_volume(solid, crop_from_head, shape)),
        "head": np.concatenate([sample.identity, sample.expression, crop_from_head.ravel()])
        .astype("<f4")
        .tobytes(),
        "vertices": transform_points(crop_from_head, photo.head[model.front])
        .astype("<f4")
        .tobytes(),
        "landmarks": landmarks.ravel(),
        "symmetry_normal": rotation[:, 0],
        "up": rotation[:, 1],
        "gaze": rotation[:, 2],
        "yaw_deg": yaw,
        "pitch_deg": pitch,
        "roll_deg": sample.angles_deg[2],
        "interocular": interocular_distance(landmarks),
    }


def _crop_from_head(
    crop: np.ndarray, photo_from_head: np.ndarray, photo_size: int, size: int
) -> np.ndarray:
    """The transform (3, 4) from the head's frame to the crop's, depth yet to be placed."""
    scale = crop[0, 0]
    # Both frames have their origin in the middle of their picture and y upward.
    middle = crop[:, :2] @ np.full(2, (photo_size - 1) / 2) + crop[:, 2] - (size - 1) / 2
    shift = scale * photo_from_head[:, 3] + np.array([middle[0], -middle[1], 0.0])
    return np.column_stack([scale * photo_from_head[:, :3], shift])
