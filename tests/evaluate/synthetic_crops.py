"""Crops of the near-frontal photos of a synthetic data set."""

import numpy as np

from rayboot.data.ground_truth import read_truth
from rayboot.data.images import decode_photo
from rayboot.geometry.crop import warp_photo
from rayboot.io.storage import join_uri, read_bytes

MAX_YAW_DEG = 10


def read_frontal_crops(uri: str) -> np.ndarray:
    """Returns crops (N, 96, 96, 3) uint8 of faces that look almost straight ahead."""
    rows = read_truth(uri, ["face_id", "crop", "yaw_deg"]).to_pylist()
    return np.stack(
        [
            warp_photo(
                decode_photo(read_bytes(join_uri(uri, row["face_id"]))),
                np.reshape(row["crop"], (2, 3)),
                96,
            )
            for row in rows
            if abs(row["yaw_deg"]) <= MAX_YAW_DEG
        ]
    )
