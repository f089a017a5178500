import io
import shutil
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import trimesh

from rayboot.errors import RequestError
from rayboot.pipeline.export_meshes import (
    ExportJob,
    export_meshes,
    export_on_this_machine,
    fits_into_process,
)
from rayboot.pipeline.export_request import ReconstructConfig, prepare_export
from rayboot.pipeline.generate_config import PoolConfig
from rayboot.pipeline.in_process_executor import InProcessExecutor
from tests.pipeline.photos import BAD, LEFT_TO_DETECTOR, mixed_folder

MESHES = (".ply", ".glb")


def test_photos_become_meshes_and_bad_ones_reasons(
    ray_local: object, synthetic_set: str, tmp_path: Path
) -> None:
    folder = mixed_folder(tmp_path / "photos", synthetic_set, num_good=4)
    output = tmp_path / "meshes"
    summary = export_meshes(prepare_export("builtin:compact", str(folder), str(output)))
    rows = {row["face_id"]: row for row in pq.read_table(output / "index.parquet").to_pylist()}
    assert len(rows) == 4 + len(BAD)
    assert summary.num_meshes == 4 + len(LEFT_TO_DETECTOR)
    rejected = {name for name, row in rows.items() if row["reason"]}
    assert rejected == set(BAD) - LEFT_TO_DETECTOR
    assert sum(summary.rejects.values()) == len(rejected)
    assert sum(summary.unused_landmarks.values()) == len(LEFT_TO_DETECTOR)
    for name, row in rows.items():
        if name in rejected:
            assert row["ply"] is None
            continue
        for kind in ("ply", "glb"):
            mesh = trimesh.load(output / row[kind], force="mesh", process=False)
            assert len(mesh.vertices) > 1000
            assert np.abs(mesh.vertices[:, :2]).max() <= 48
    # The same in this process, to the last byte.
    alone = tmp_path / "alone"
    plan = prepare_export("builtin:compact", str(folder), str(alone))
    assert export_on_this_machine(plan) == summary
    names = [path.relative_to(output) for path in output.rglob("*") if path.suffix in MESHES]
    assert len(names) == 2 * summary.num_meshes
    assert all((alone / name).read_bytes() == (output / name).read_bytes() for name in names)
    assert pq.read_table(alone / "index.parquet") == pq.read_table(output / "index.parquet")


def test_an_obj_has_the_photo_as_texture_and_is_pruned_whole(
    synthetic_set: str, tmp_path: Path
) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    sources = sorted(Path(synthetic_set).rglob("*.jpg"))[:2]
    for source in sources:
        shutil.copy(source, photos)
    config = ReconstructConfig(kinds=("obj", "glb"), unit="pixel")
    output = tmp_path / "meshes"

    def export(*, prune: bool = False) -> list[dict[str, Any]]:
        plan = prepare_export("builtin:compact", str(photos), str(output), config, prune=prune)
        export_on_this_machine(plan)
        rows: list[dict[str, Any]] = pq.read_table(output / "index.parquet").to_pylist()
        return rows

    for row in export():
        obj = trimesh.load_mesh(output / row["obj"], process=False)
        # The crop is 96 px wide, and so is the texture of a photo that is no finer.
        assert np.asarray(obj.visual.material.image).shape[1] >= 192
        glb = trimesh.load_mesh(output / row["glb"], process=False)
        assert np.abs(obj.bounds - glb.bounds).max() < 1e-4 and row["ply"] is None
    suffixes = [".glb", ".mtl", ".obj", ".png"]
    mesh_files = [path for path in output.iterdir() if path.suffix in suffixes]
    assert sorted(path.suffix for path in mesh_files) == sorted(2 * suffixes)
    (photos / sources[0].name).unlink()
    assert len(export(prune=True)) == 1
    left = [path for path in output.iterdir() if path.suffix in suffixes]
    assert sorted(path.suffix for path in left) == suffixes


@pytest.mark.parametrize(
    ("num_photos", "gpus", "address", "in_process"),
    [(32, 0, None, True), (33, 0, None, False), (1, 1, None, False), (1, 0, "auto", False)],
)
def test_ray_is_started_for_many_photos_gpus_and_jobs(
    synthetic_set: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    num_photos: int,
    gpus: int,
    address: str | None,
    in_process: bool,
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    if address:
        monkeypatch.setenv("RAY_ADDRESS", address)
    config = ReconstructConfig(pools=PoolConfig(reconstruct_gpus=gpus))
    plan = prepare_export("builtin:compact", synthetic_set, str(tmp_path), config)
    assert fits_into_process(plan._replace(num_to_do=num_photos)) == in_process


def test_a_name_that_leads_out_is_rejected(synthetic_set: str, tmp_path: Path) -> None:
    photos = [path.read_bytes() for path in sorted(Path(synthetic_set).rglob("*.jpg"))[:3]]
    names = ["../../away.jpg", f"{tmp_path}/away.jpg", "kept<script>.jpg"]
    with tarfile.open(tmp_path / "photos.tar", "w") as archive:
        for name, payload in zip(names, photos, strict=True):
            entry = tarfile.TarInfo(name)
            entry.size = len(payload)
            archive.addfile(entry, io.BytesIO(payload))
    output = tmp_path / "deep/meshes"
    plan = prepare_export("builtin:compact", str(tmp_path / "photos.tar"), str(output))
    before = set(tmp_path.rglob("*"))
    summary = export_meshes(plan, InProcessExecutor())
    assert not [p for p in set(tmp_path.rglob("*")) - before if not p.is_relative_to(output)]
    assert not [p for p in tmp_path.parent.iterdir() if p.name.startswith("away")]
    # A photo in an archive is named after both; so an absolute name lies below the output.
    rows = {row["face_id"]: row for row in pq.read_table(output / "index.parquet").to_pylist()}
    assert set(rows) == {f"photos/{name}" for name in names}
    assert rows["photos/../../away.jpg"]["reason"] == "unsafe-name"
    assert summary.num_meshes == 2


def test_requests_are_checked(tmp_path: Path, synthetic_set: str) -> None:
    empty = tmp_path / "photos"
    empty.mkdir()
    with pytest.raises(RequestError, match="no such file"):
        prepare_export("missing.t7", synthetic_set, str(tmp_path))
    with pytest.raises(RequestError, match="no photo"):
        prepare_export("builtin:compact", str(empty), str(tmp_path / "out"))


def test_a_stopped_run_does_the_rest_alone(
    synthetic_set: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = ReconstructConfig(kinds=("glb",))
    plan = prepare_export("builtin:compact", synthetic_set, str(tmp_path / "meshes"), config)
    with monkeypatch.context() as patched:
        patched.setattr(ExportJob, "complete", _stop)
        with pytest.raises(KeyboardInterrupt):
            export_meshes(plan, InProcessExecutor())
    rows = sorted((tmp_path / "meshes/_run/rows").rglob("*.parquet"))
    assert rows and not (tmp_path / "meshes/index.parquet").exists()
    made = {path: path.stat().st_mtime_ns for path in (tmp_path / "meshes").rglob("*.glb")}
    plan = prepare_export("builtin:compact", synthetic_set, str(tmp_path / "meshes"), config)
    summary = export_meshes(plan, InProcessExecutor())
    assert summary.num_meshes == len(made) == 24
    assert {path: path.stat().st_mtime_ns for path in made} == made
    assert not list((tmp_path / "meshes").rglob("*.ply"))


def _stop(*_: object) -> None:
    raise KeyboardInterrupt


def test_another_model_never_mixes_in(synthetic_set: str, tmp_path: Path) -> None:
    prepare_export("builtin:compact", synthetic_set, str(tmp_path / "out"))
    with pytest.raises(RequestError, match="begun with another model_digest"):
        prepare_export("builtin:head", synthetic_set, str(tmp_path / "out"))
