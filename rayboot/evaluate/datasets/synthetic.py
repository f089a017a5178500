"""Sets made by ``rayboot synthesize``: the dense true face of each photo."""

import io
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rayboot.data.ground_truth import decode_vertices, read_topology
from rayboot.errors import RequestError
from rayboot.evaluate.datasets.base import DatasetListing, EvalDataset, GroundTruthFace
from rayboot.evaluate.datasets.face_files import read_photo
from rayboot.geometry.crop import resize_crop, warp_photo
from rayboot.io.storage import join_uri, list_files, read_bytes

__all__ = ["SyntheticDataset"]


class SyntheticDataset(EvalDataset):
    """The front of the head, without ears and neck, in the frame of the photo's crop."""

    truth: ClassVar[str] = "dense mesh of the made face, without ears and neck"

    kind: Literal["synthetic"] = "synthetic"
    data: str
    """URI of the set."""

    def list_faces(self) -> DatasetListing:
        """The rows of the set's truth."""
        names = sorted(name for name in list_files(self.data, "truth") if name.endswith(".parquet"))
        if not names:
            raise RequestError(
                f"{self.data}: no truth/*.parquet, which kind synthetic asks for; give a set that "
                "`rayboot synthesize` has written, or another kind"
            )
        parts = [_index(self.data, name) for name in names]
        return DatasetListing(pa.concat_tables(parts).sort_by("face_id"), [])

    def read(self, row: Mapping[str, Any], size: int) -> GroundTruthFace:
        """One photo with its truth, which is kept for one size of crop."""
        truth = _rows(self.data, row["file"])[row["place"]]
        kept = truth["shape"][2]
        photo = read_photo(join_uri(self.data, row["face_id"]))
        affine = resize_crop(np.reshape(truth["crop"], (2, 3)), kept, size)
        scale = size / kept
        return GroundTruthFace(
            row["face_id"],
            warp_photo(photo, affine, size),
            scale * decode_vertices(truth["vertices"]),
            scale * truth["interocular"],
            truth["yaw_deg"],
            _triangles(self.data),
        )


def _index(uri: str, name: str) -> pa.Table:
    ids = pq.read_table(io.BytesIO(read_bytes(join_uri(uri, name))), columns=["face_id", "yaw_deg"])
    ids = ids.append_column("file", pa.array([name] * len(ids)))
    return ids.append_column("place", pa.array(range(len(ids)), pa.int64()))


# Faces come in order, so that one file serves a batch after the other.
@lru_cache(maxsize=2)
def _rows(uri: str, name: str) -> list[dict[str, Any]]:
    columns = ["face_id", "crop", "shape", "vertices", "interocular", "yaw_deg"]
    return pq.read_table(io.BytesIO(read_bytes(join_uri(uri, name))), columns=columns).to_pylist()


@lru_cache(maxsize=2)
def _triangles(uri: str) -> np.ndarray:
    return read_topology(uri)
