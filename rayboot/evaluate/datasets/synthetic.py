"""Datasets of ``rayboot synthesize``, with the dense true face of each photo."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa

from rayboot.config import Uri
from rayboot.data.ground_truth import decode_vertices, read_topology
from rayboot.errors import RequestError
from rayboot.evaluate.datasets.base import DatasetListing, EvalDataset, GroundTruthFace
from rayboot.evaluate.datasets.face_files import read_photo
from rayboot.evaluate.metrics.detail import find_nose
from rayboot.geometry.crop import resize_crop, warp_photo
from rayboot.io.parquet import read_table
from rayboot.io.storage import join_uri, list_files

__all__ = ["SyntheticDataset"]


class SyntheticDataset(EvalDataset):
    """Synthetic photos with the front of the head, without ears and neck, as truth."""

    truth: ClassVar[str] = "dense mesh of the synthetic face, without ears and neck"

    kind: Literal["synthetic"] = "synthetic"
    """Selects this type of dataset."""
    data: Uri
    """URI of the dataset."""

    def list_faces(self) -> DatasetListing:
        """Lists the rows of the dataset's truth."""
        names = sorted(name for name in list_files(self.data, "truth") if name.endswith(".parquet"))
        if not names:
            raise RequestError(
                f"{self.data}: expected truth/*.parquet for kind synthetic, found none; give a "
                "dataset that `rayboot synthesize` has written, or another kind"
            )
        parts = [_list_rows(self.data, name) for name in names]
        return DatasetListing(pa.concat_tables(parts).sort_by("face_id"), [])

    def read(self, row: Mapping[str, Any], size: int) -> GroundTruthFace:
        """Reads a photo and its truth, scaled from the size of its stored crop to ``size`` px."""
        truth = _read_rows(self.data, row["file"])[row["row_index"]]
        stored_size = truth["shape"][2]
        photo = read_photo(join_uri(self.data, row["face_id"]))
        affine = resize_crop(np.reshape(truth["crop"], (2, 3)), stored_size, size)
        scale = size / stored_size
        vertices = decode_vertices(truth["vertices"])
        return GroundTruthFace(
            row["face_id"],
            warp_photo(photo, affine, size),
            scale * vertices,
            scale * truth["interocular"],
            truth["yaw_deg"],
            _read_triangles(self.data),
            nose=find_nose(vertices, np.reshape(truth["landmarks"], (68, 3))),
        )


def _list_rows(uri: str, name: str) -> pa.Table:
    rows = read_table(join_uri(uri, name), ["face_id", "yaw_deg"])
    rows = rows.append_column("file", pa.array([name] * len(rows)))
    return rows.append_column("row_index", pa.array(range(len(rows)), pa.int64()))


# Faces are read in order, so consecutive batches use the same file.
@lru_cache(maxsize=2)
def _read_rows(uri: str, name: str) -> list[dict[str, Any]]:
    columns = ["face_id", "crop", "shape", "vertices", "landmarks", "interocular", "yaw_deg"]
    rows: list[dict[str, Any]] = read_table(join_uri(uri, name), columns).to_pylist()
    return rows


@lru_cache(maxsize=2)
def _read_triangles(uri: str) -> np.ndarray:
    return read_topology(uri)
