"""Pairs data sets of the real schema, written without the pipeline."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rayboot.data.images import encode_image
from rayboot.data.manifest import Manifest, write_manifest
from rayboot.data.schema import FACE_COLUMNS, PAIRS_SCHEMA, REJECT_COLUMNS
from rayboot.geometry.camera import rotation_yaw_pitch
from rayboot.geometry.surface_depth import (
    complete_surface_depth,
    measure_columns,
    pack_surface_depth,
)
from rayboot.geometry.volume import pack_occupancy

SHAPE = (20, 32, 32)
YAWS = (-60.0, -20.0, 0.0, 20.0, 60.0)
NUM_FACES = 6


def plain_image(value):
    return np.full((*SHAPE[1:], 3), value, np.uint8)


def transform_of(yaw_deg):
    shift = [[1.0], [-0.5], [0.25]]
    return np.hstack([0.9 * rotation_yaw_pitch(np.radians(yaw_deg), 0.0), shift])


def solid(index):
    """A box in the middle of the volume, of another size for every face."""
    occupied = np.zeros(SHAPE, bool)
    occupied[4 : 14 + index, 6:17, 8 : 15 + index % 3] = True
    return occupied


def depth_of(index):
    return complete_surface_depth(measure_columns(solid(index) - 0.5), SHAPE[2])


def face(index):
    views = [
        {
            "yaw_deg": yaw,
            "pitch_deg": 0.0,
            "transform": transform_of(yaw).ravel().tolist(),
            "view_gaze": rotation_yaw_pitch(np.radians(yaw), 0.0)[:, 2].tolist(),
            "clipped": 0.0,
            "image": encode_image(plain_image(10 * index + place), "png"),
        }
        for place, yaw in enumerate(YAWS)
    ]
    known = {
        "face_id": f"photos/{index}.jpg",
        "split": "val" if index % 3 == 0 else "train",
        "image": encode_image(plain_image(200 + index), "png"),
        "target_kind": "occupancy",
        "occupancy": pack_occupancy(solid(index)),
        "surface_depth": pack_surface_depth(depth_of(index)),
        "shape": list(SHAPE),
        "views": views,
    }
    return {name: known.get(name) for name in FACE_COLUMNS}


def write_pairs(folder, faces, rows_per_file=2):
    """Writes a finished data set, or the next manifest of one with more faces; returns its URI."""
    schema = pa.schema([PAIRS_SCHEMA.field(name) for name in FACE_COLUMNS])
    (folder / "outcome=face").mkdir(parents=True, exist_ok=True)
    for start in range(0, len(faces), rows_per_file):
        table = pa.Table.from_pylist(faces[start : start + rows_per_file], schema)
        name = f"{faces[start]['face_id'].replace('/', '-')}.parquet"
        pq.write_table(table, folder / "outcome=face" / name)
    manifest = Manifest(
        config={},
        config_digest="",
        model_digest="",
        code_version="",
        counts={"faces": len(faces), "views": sum(len(face["views"]) for face in faces)},
    )
    write_manifest(str(folder), manifest)
    return str(folder)


def write_rejects(folder, rejects, name="part"):
    """Writes rows of rejects, whose missing columns are null; returns the data set's URI."""
    schema = pa.schema([PAIRS_SCHEMA.field(name) for name in REJECT_COLUMNS])
    (folder / "outcome=reject").mkdir(parents=True, exist_ok=True)
    rows = [{column: reject.get(column) for column in REJECT_COLUMNS} for reject in rejects]
    pq.write_table(
        pa.Table.from_pylist(rows, schema),
        folder / f"outcome=reject/{name}.parquet",
        row_group_size=2,
    )
    return str(folder)
