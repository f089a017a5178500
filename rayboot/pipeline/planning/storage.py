"""Bytes that runs write: pairs, meshes and checkpoints, from the sample of a calibration."""

import posixpath
import uuid
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rayboot.data.mesh_files import encode_mesh
from rayboot.data.subsets import evenly_spaced
from rayboot.errors import DegenerateInputError
from rayboot.geometry.isosurface import extract_coarse_surface
from rayboot.geometry.volume import unpack_occupancy
from rayboot.io.storage import arrow_filesystem, as_local_file, join_uri, list_entries, remove
from rayboot.models import load_network
from rayboot.pipeline.blocks import ROWS_PER_BLOCK
from rayboot.pipeline.export_request import ReconstructConfig
from rayboot.pipeline.in_process_executor import write_block

__all__ = ["StorageSizes", "format_bytes", "format_storage", "measure_storage"]

_NUM_MESHES = 16
"""Number of faces of the sample whose meshes are encoded."""

_FLOAT_BYTES = 4

_NUM_MOMENTS = 2
"""Values that Adam keeps for each parameter."""

_NUM_CHECKPOINTS = 2
"""Number of checkpoints that a training keeps."""


class StorageSizes(NamedTuple):
    """Bytes of what runs on a sample would write.

    Attributes:
        pairs: of a pairs data set by listed photo; rejects count as photos.
        meshes: of the files of :class:`~rayboot.pipeline.export_request.ReconstructConfig` by
            photo with a face; 0 where the sample has none.
        checkpoint: of one checkpoint of a training without ``ema_decay``.
        weights: of the network's weights alone, which ``ema_decay`` adds once more.
        num_photos: number of photos in the sample.
        num_faces: number of faces among them.
    """

    pairs: float
    meshes: float
    checkpoint: int
    weights: int
    num_photos: int
    num_faces: int


def measure_storage(rows: pa.Table, output: str, weights: str) -> StorageSizes:
    """Returns the bytes of what runs would write; leaves no files behind.

    Args:
        rows: rows of a pairs data set.
        output: URI of a folder that can be written.
        weights: URI of the network's weights.
    """
    faces = rows.filter(pc.equal(rows["outcome"], "face"))
    with as_local_file(weights) as file:
        network = load_network(file)
    num_parameters = sum(values.numel() for values in network.parameters())
    num_weights = num_parameters + sum(values.numel() for values in network.buffers())
    return StorageSizes(
        pairs=_measure_pairs(rows, output),
        meshes=_measure_meshes(faces),
        checkpoint=_FLOAT_BYTES * (num_weights + _NUM_MOMENTS * num_parameters),
        weights=_FLOAT_BYTES * num_weights,
        num_photos=len(rows),
        num_faces=len(faces),
    )


def format_storage(sizes: StorageSizes, num_photos: int) -> str:
    """Formats the bytes of one photo and of all.

    Args:
        sizes: sizes of the sample.
        num_photos: number of photos of the input.
    """
    num_faces = num_photos * sizes.num_faces / sizes.num_photos
    kinds = " and ".join(kind.upper() for kind in ReconstructConfig().kinds)
    return (
        f"storage: pairs {format_bytes(sizes.pairs * num_photos)} "
        f"({format_bytes(sizes.pairs)} per photo); "
        f"meshes as {kinds} {format_bytes(sizes.meshes * num_faces)} "
        f"({format_bytes(sizes.meshes)} per face); "
        f"a training keeps {_NUM_CHECKPOINTS} checkpoints of {format_bytes(sizes.checkpoint)} "
        f"({format_bytes(sizes.checkpoint + sizes.weights)} with ema_decay)"
    )


def format_bytes(number: float) -> str:
    """Formats a number of bytes with up to three digits: ``200 kB``, ``1.5 GB``."""
    for size, unit in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return f"{number:.0f} B"


def _measure_pairs(rows: pa.Table, output: str) -> float:
    """Returns the bytes per row of the files that a run writes."""
    folder = join_uri(output, f"_run/trial-{uuid.uuid4().hex[:8]}")
    filesystem, path = arrow_filesystem(folder)
    try:
        # Every row once: rows that are repeated in a file take hardly any bytes.
        for start in range(0, len(rows), ROWS_PER_BLOCK):
            block, name = rows.slice(start, ROWS_PER_BLOCK), f"{start}"
            checkpoint = posixpath.join(path, "checkpoint")
            write_block(block, filesystem, path, checkpoint, name, ["outcome"])
        written = list_entries(folder)
        data = [entry for name, entry in written.items() if not name.startswith("checkpoint/")]
        return sum(entry.num_bytes for entry in data) / len(rows)
    finally:
        for name in list_entries(folder):
            remove(join_uri(folder, name))


def _measure_meshes(faces: pa.Table) -> float:
    """Returns the bytes per face of its mesh files; their colours do not change the size."""
    sample = faces.take(evenly_spaced(len(faces), _NUM_MESHES)) if len(faces) else faces
    sizes = []
    for row in sample.select(["occupancy", "shape"]).to_pylist():
        depth, height, width = row["shape"]
        occupancy = unpack_occupancy(row["occupancy"], (depth, height, width))
        try:
            mesh = extract_coarse_surface(occupancy.astype(np.float32), occupancy.shape, 0)
        except DegenerateInputError:
            continue
        colored = mesh._replace(colors=np.zeros((len(mesh.vertices), 3), np.uint8))
        files = (encode_mesh(colored, kind, "metre") for kind in ReconstructConfig().kinds)
        sizes.append(sum(map(len, files)))
    return float(np.mean(sizes)) if sizes else 0.0
