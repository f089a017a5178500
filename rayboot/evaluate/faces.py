"""Faces whose shape is known, from any kind of set that an evaluation may name."""

from typing import Any

import numpy as np
import pyarrow as pa

from rayboot.data.images import decode_photo
from rayboot.data.storage import join_uri, list_files, read_bytes
from rayboot.data.truth import decode_vertices, truth_table
from rayboot.errors import RequestError
from rayboot.evaluate import aflw2000
from rayboot.evaluate.benchmark import TrueFace
from rayboot.evaluate.config import EvaluateConfig
from rayboot.geometry.crop import warp_photo

__all__ = ["check_faces", "list_true_faces", "pick_by_yaw", "read_true_face"]


def check_faces(config: EvaluateConfig) -> None:
    """Refuses a set that is not there, without reading it.

    Raises:
        RequestError: there is no truth of the kind that the config names.
    """
    suffix, below = (".parquet", "truth") if config.kind == "synthetic" else (".mat", "")
    try:
        found = any(name.endswith(suffix) for name in list_files(config.data, below))
    except OSError as error:
        raise RequestError(f"evaluation data {config.data}: cannot be listed ({error})") from error
    if not found:
        raise RequestError(
            f"evaluation data {config.data}: holds no {below or '.'}/*{suffix}, which kind "
            f"{config.kind} asks for; give a set that `rayboot synthesize` has written "
            "(synthetic), or the folder of AFLW2000-3D (aflw2000)"
        )


def list_true_faces(config: EvaluateConfig) -> pa.Table:
    """One row a face, by ``face_id``; what :func:`read_true_face` takes."""
    if config.kind == "synthetic":
        columns = ["face_id", "crop", "vertices", "interocular", "yaw_deg"]
        return truth_table(config.data, columns)
    return aflw2000.list_faces(config.data)


def read_true_face(config: EvaluateConfig, row: dict[str, Any], size: int) -> TrueFace:
    """The face of one row, its photo cropped to ``size`` px."""
    if config.kind == "aflw2000":
        return aflw2000.read_face(config.data, row["face_id"], size)
    photo = decode_photo(read_bytes(join_uri(config.data, row["face_id"])))
    return TrueFace(
        row["face_id"],
        warp_photo(photo, np.reshape(row["crop"], (2, 3)), size),
        decode_vertices(row["vertices"]),
        row["interocular"],
        row["yaw_deg"],
    )


def pick_by_yaw(config: EvaluateConfig, size: int, count: int) -> list[TrueFace]:
    """``count`` faces spread evenly over |yaw|, chosen by rank alone; for pictures."""
    table = list_true_faces(config)
    if config.kind == "synthetic":
        yaws = np.abs(table["yaw_deg"].to_numpy())
        order = np.argsort(yaws, kind="stable")
        ranks = np.unique(np.linspace(0, len(order) - 1, count).round().astype(int))
        return [
            read_true_face(config, table.slice(int(order[rank]), 1).to_pylist()[0], size)
            for rank in ranks
        ]
    faces = [read_true_face(config, row, size) for row in table.to_pylist()]
    faces.sort(key=lambda face: abs(face.yaw_deg))
    ranks = np.unique(np.linspace(0, len(faces) - 1, count).round().astype(int))
    return [faces[rank] for rank in ranks]
