"""The pages on long runs, block by block: pairs at scale, failures, and logs.

The commands start Ray themselves, as those of a reader do, each in a folder that is the test's own.
"""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pyarrow.dataset
import pytest
import yaml

from rayboot.data.manifest import require_finished
from rayboot.data.readers import list_photos
from tests.docs_blocks import ROOT, Block, find_blocks, run_blocks
from tests.s3 import S3Server

FACE_ID = "300W-3D/HELEN/100032540_1.jpg"
"""The photo that docs/operations/logs.md follows through a run."""

PAIRS = {"model": "builtin:compact", "pools": {"num_readers": 1, "num_render_actors": 1}}
"""A config of `generate` for this machine; the pages name it F, or are for a cluster."""

pytestmark = [pytest.mark.slow, pytest.mark.egl]


def blocks_of(page: str) -> list[Block]:
    return [block for block in find_blocks(ROOT / page) if block.reason is None]


def copy_photos(synthetic_set: str, folder: Path, num_photos: int) -> list[Path]:
    """Copies near-frontal photos and profiles with their landmarks; returns the photos."""
    folder.mkdir(parents=True)
    rows = list_photos(synthetic_set).to_pylist()
    for row in rows[:num_photos]:
        for uri in (row["source_uri"], row["landmarks_uri"]):
            shutil.copy(uri, folder)
    return sorted(folder.glob("*.jpg"))


@pytest.fixture
def ray_folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for the sessions of Ray, with a path short enough for its sockets."""
    folder = Path(tempfile.mkdtemp(prefix="rb", dir="/tmp"))
    monkeypatch.setenv("RAY_TMPDIR", str(folder))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def folder(synthetic_set: str, tmp_path: Path) -> Path:
    """A folder with the files that the pages on operations name."""
    photos = copy_photos(synthetic_set, tmp_path / "photos/300W-3D/HELEN", 4)
    # No face, and a reject therefore, of which a debugging run logs a line.
    for path in photos[0].parent.glob(f"{photos[0].stem}.*"):
        path.unlink()
    (tmp_path / "photos" / FACE_ID).write_bytes(b"no photo")
    (tmp_path / "runs").mkdir()
    config = {**PAIRS, "input": "photos", "output": "runs/pairs"}
    (tmp_path / "F").write_text(yaml.safe_dump(config))
    for name in ("OUTPUT", "runs/photos"):
        (tmp_path / name).symlink_to(tmp_path / "runs/pairs")
    return tmp_path


def test_a_run_is_looked_into_and_resumed(
    folder: Path,
    ray_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
    blocks = blocks_of("docs/operations/logs.md")
    assert len(blocks) == 3
    run_blocks(blocks, folder, monkeypatch, replacements={"/tmp/ray": f"{ray_folder}/ray"})
    printed = capsys.readouterr().out
    # By trace, from the row, and from the log of a worker.
    assert f"data set  runs/pairs  reject {FACE_ID}" in printed
    assert "'outcome': 'reject', 'stage': 'read', 'reason': 'undecodable'" in printed
    assert f'"face_id": "{FACE_ID}"' in printed
    assert (folder / "rayboot-support.tar.gz").exists()
    (folder / "rayboot-support.tar.gz").unlink()

    digest = require_finished(str(folder / "runs/pairs")).config_digest
    blocks = blocks_of("docs/operations/failures.md")
    assert len(blocks) == 2
    run_blocks(blocks, folder, monkeypatch)
    assert require_finished(str(folder / "runs/pairs")).config_digest == digest
    assert (folder / "rayboot-support.tar.gz").exists()


@pytest.mark.s3
def test_photos_in_a_bucket_become_pairs(
    synthetic_set: str,
    tmp_path: Path,
    ray_folder: Path,
    s3_server: S3Server,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    photos = copy_photos(synthetic_set, tmp_path / "LS3D-W/300W-3D/HELEN", 16)
    store = s3_server.filesystem()
    if not store.exists("faces"):
        store.call_s3("create_bucket", Bucket="faces")
    store.put(str(tmp_path / "LS3D-W"), "faces/LS3D-W", recursive=True)
    # The config of the page needs the released weights and GPUs.
    shipped = yaml.safe_load((ROOT / "configs/generate-bucket.yaml").read_text())
    config = yaml.safe_dump({**PAIRS, "input": shipped["input"], "output": shipped["output"]})
    (tmp_path / "configs").mkdir()
    for name in ("configs/generate-bucket.yaml", "F"):
        (tmp_path / name).write_text(config)

    blocks = blocks_of("docs/guides/pairs-at-scale.md")
    assert len(blocks) == 3
    run_blocks(blocks, tmp_path, monkeypatch)
    printed = capsys.readouterr().out
    assert "num_render_actors" in printed and "50 k photos" in printed
    assert "<img" in (tmp_path / "pairs.html").read_text()
    rows = pyarrow.dataset.dataset(
        "faces/pairs", filesystem=store, partitioning="hive", exclude_invalid_files=True
    )
    # Without the listings of the manifests, which have no outcome.
    assert rows.count_rows(filter=pyarrow.dataset.field("outcome").is_valid()) == len(photos)
