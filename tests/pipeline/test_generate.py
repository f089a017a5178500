import logging
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from rayboot.data.manifest import require_finished
from rayboot.data.pairs import read_pairs
from rayboot.errors import RequestError, UnfinishedDataError
from rayboot.models import load_network, save_network
from rayboot.pipeline.generate import generate
from rayboot.pipeline.generate_config import GenerateConfig, PoolConfig, SelectionConfig
from rayboot.pipeline.generate_request import prepare_generate
from rayboot.pipeline.generate_summary import summarize
from rayboot.pipeline.in_process_executor import InProcessExecutor
from rayboot.pipeline.output_layout import CHECKPOINT
from rayboot.pipeline.preview import pairs_sheet, write_preview
from rayboot.registry.model_names import BUILTIN_COMPACT
from rayboot.registry.resolve import resolve_model
from tests.data.pair_sets import face, write_pairs
from tests.pipeline.photos import BAD, mixed_folder

pytestmark = pytest.mark.egl


def request(folder: Path, output: Path, **changes: object) -> GenerateConfig:
    return GenerateConfig(
        input=str(folder),
        output=str(output),
        selection=SelectionConfig(detect_faces=False),
        views={"preset": "small"},
        pools=PoolConfig(batch_size=4),
        **changes,
    )


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory, synthetic_set: str) -> Path:
    return mixed_folder(tmp_path_factory.mktemp("generate") / "photos", synthetic_set)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory, photos: Path, ray_local: object) -> Path:
    output = tmp_path_factory.mktemp("generate") / "pairs"
    generate(prepare_generate(request(photos, output)))
    return output


def test_every_photo_ends_in_exactly_one_row(pairs: Path, photos: Path) -> None:
    import pyarrow.parquet as pq

    ids = Counter()
    for part in pairs.glob("outcome=*/*.parquet"):
        ids.update(
            pq.read_table(part, columns=["face_id"], partitioning=None)["face_id"].to_pylist()
        )
    expected = {p.name for p in photos.iterdir() if p.suffix in (".jpg", ".png")}
    assert set(ids) == expected
    assert set(ids.values()) == {1}


def test_manifest_counts_what_is_there(pairs: Path) -> None:
    manifest = require_finished(str(pairs))
    summary = summarize(str(pairs))
    assert manifest.counts["faces"] == summary.num_faces > 0
    assert manifest.counts["views"] == summary.num_views
    assert manifest.counts["rejects"] == sum(summary.rejects.values()) >= len(BAD)
    assert manifest.config["views"]["preset"] == "small"
    assert len(manifest.model_digest) == 64


def test_a_run_without_ray_makes_the_same_rows(pairs: Path, photos: Path, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    generate(prepare_generate(request(photos, tmp_path / "pairs")), InProcessExecutor())
    for outcome in ("face", "reject"):
        ours, rays = (
            pq.read_table(folder / f"outcome={outcome}", partitioning=None).sort_by("face_id")
            for folder in (tmp_path / "pairs", pairs)
        )
        assert ours.equals(rays)
    assert require_finished(str(tmp_path / "pairs")).counts == require_finished(str(pairs)).counts


def test_half_a_file_is_made_again(pairs: Path, photos: Path, tmp_path: Path) -> None:
    """What a full disk, or a machine that went down, leaves of a file that was being written."""
    copy = tmp_path / "pairs"
    shutil.copytree(pairs, copy)
    (copy / "manifest.json").unlink()
    note = next((copy / CHECKPOINT).glob("*.parquet"))
    note.rename(note.with_name(f"{note.stem}.pending.parquet"))
    cut = [part for part in copy.glob("outcome=*/*.parquet") if part.name.startswith(note.stem)]
    for part in cut:
        part.write_bytes(part.read_bytes()[:100])
    assert cut
    # Ray made the files, and another executor resumes from its checkpoint.
    generate(prepare_generate(request(photos, copy)), InProcessExecutor())
    whole, made_again = (require_finished(str(folder)).counts for folder in (pairs, copy))
    assert made_again == whole


def test_the_same_request_again_changes_nothing(pairs: Path, photos: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in pairs.rglob("*") if path.is_file()}
    generate(prepare_generate(request(photos, pairs)))
    assert before == {path: path.stat().st_mtime_ns for path in pairs.rglob("*") if path.is_file()}


def test_another_request_never_mixes_in(pairs: Path, photos: Path) -> None:
    with pytest.raises(RequestError, match="config_digest"):
        prepare_generate(request(photos, pairs, seed=1))
    with pytest.raises(RequestError, match=r"another input \(\['.*photos'\], .*elsewhere"):
        prepare_generate(request(photos.parent / "elsewhere", pairs))


def test_another_model_never_mixes_in(pairs: Path, photos: Path, tmp_path: Path) -> None:
    network = load_network(resolve_model(BUILTIN_COMPACT).path)
    with torch.no_grad():
        next(network.parameters()).mul_(1.01)
    save_network(network, tmp_path / "other.safetensors")
    digests = r"model_digest \([0-9a-f]{64}, this run has [0-9a-f]{64}\)"
    with pytest.raises(RequestError, match=digests):
        prepare_generate(request(photos, pairs, model=str(tmp_path / "other.safetensors")))


def test_a_digest_tells_what_decides_the_rows() -> None:
    config = GenerateConfig(input="a", output="b", views={"preset": "small"})
    digest = config.content_digest()
    same = ({"output": "c"}, {"input": "d"}, {"tracking_uri": "http://e"})
    assert {config.replace(**change).content_digest() for change in same} == {digest}
    assert config.replace(pools={"num_render_actors": 7}).content_digest() == digest
    others = (
        {"seed": 1},
        {"inference": {"precision": "float32"}},
        {"pools": {"batch_size": 3}},
        {"pools": {"render_device": "software"}},
        {"views": {"preset": "large"}},
    )
    changed = {config.replace(**change).content_digest() for change in others}
    assert len(changed | {digest}) == 1 + len(others)


def test_views_are_read_back(pairs: Path) -> None:
    rows = read_pairs(str(pairs)).take_all()
    assert len(rows) == summarize(str(pairs)).num_views
    assert {abs(round(row["yaw_deg"])) for row in rows} == {20}


def test_preview_shows_faces(pairs: Path, tmp_path: Path) -> None:
    sheet = pairs_sheet(str(pairs), 3)
    assert sheet.shape[1] >= 3 * 96
    page = write_preview(str(pairs), tmp_path / "sheet.html").read_text("utf-8")
    assert "data:image/jpeg;base64," in page
    assert write_preview(str(pairs), tmp_path / "sheet.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(RequestError, match="suffix"):
        write_preview(str(pairs), tmp_path / "sheet.tiff")


def test_preview_leaves_out_what_a_full_disk_cut_off(tmp_path: Path) -> None:
    uri = write_pairs(tmp_path / "pairs", [face(index) for index in range(4)])
    whole = pairs_sheet(uri)
    (tmp_path / "pairs/outcome=face/cut-000000-0.parquet").write_bytes(b"PAR1 and nothing more")
    note = tmp_path / "pairs" / CHECKPOINT / "cut.pending.parquet"
    note.parent.mkdir(parents=True)
    note.touch()
    assert np.array_equal(pairs_sheet(uri), whole)


def test_errors_of_ray_data_are_left_to_its_log_file() -> None:
    import rayboot.pipeline.ray_executor  # noqa: F401 - what is tested

    # pytest adds handlers of its own to the root logger, which this one does not propagate to.
    shown = [
        handler
        for handler in logging.getLogger("ray.data").handlers
        if type(handler).__name__ == "PlainRayHandler" and handler.level < logging.CRITICAL
    ]
    assert logging.getLogger("ray.data").handlers and not shown


def test_bad_requests_are_refused_before_ray(tmp_path: Path, photos: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(RequestError, match="no photo"):
        prepare_generate(request(tmp_path / "empty", tmp_path / "out"))
    with pytest.raises(RequestError, match="no such file"):
        prepare_generate(request(photos, tmp_path / "out", model="missing.safetensors"))
    (tmp_path / "file").write_text("")
    with pytest.raises(RequestError, match="cannot be written"):
        prepare_generate(request(photos, tmp_path / "file/out"))
    with pytest.raises(RequestError, match="an input and an output"):
        prepare_generate(GenerateConfig(input=str(photos)))


def test_an_unfinished_data_set_is_not_read(tmp_path: Path, photos: Path) -> None:
    prepare_generate(request(photos, tmp_path / "out"))
    with pytest.raises(UnfinishedDataError, match="again to finish"):
        read_pairs(str(tmp_path / "out"))
