from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import trimesh

from rayboot.errors import RequestError
from rayboot.pipeline.meshes import prepare_meshes, reconstruct_photos
from tests.pipeline.photos import BAD, mixed_folder


def test_photos_become_meshes_and_bad_ones_reasons(
    ray_local: object, synthetic_set: str, tmp_path: Path
) -> None:
    folder = mixed_folder(tmp_path / "photos", synthetic_set, num_good=4)
    output = tmp_path / "meshes"
    summary = reconstruct_photos(prepare_meshes("builtin:compact", str(folder), str(output)))
    rows = {row["face_id"]: row for row in pq.read_table(output / "index.parquet").to_pylist()}
    assert len(rows) == 4 + len(BAD)
    assert summary.num_meshes == 4
    assert sum(summary.rejects.values()) == len(BAD)
    for name, row in rows.items():
        if row["reason"]:
            assert name in BAD and row["ply"] is None
            continue
        for kind in ("ply", "glb"):
            mesh = trimesh.load(output / row[kind], force="mesh", process=False)
            assert len(mesh.vertices) > 1000
            assert np.abs(mesh.vertices[:, :2]).max() <= 48


def test_requests_are_checked(tmp_path: Path, synthetic_set: str) -> None:
    with pytest.raises(RequestError, match="no such file"):
        prepare_meshes("missing.t7", synthetic_set, str(tmp_path))
    with pytest.raises(RequestError, match="no photo"):
        prepare_meshes("builtin:compact", str(tmp_path), str(tmp_path / "out"))
