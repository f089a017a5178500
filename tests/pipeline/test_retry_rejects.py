import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from rayboot.data.manifest import read_manifest
from rayboot.io.parquet import write_table
from rayboot.io.storage import join_uri, remove, write_bytes
from rayboot.pipeline import output_change as changes
from rayboot.pipeline.generate import generate
from rayboot.pipeline.generate_config import GenerateConfig, PoolConfig, SelectionConfig
from rayboot.pipeline.generate_request import prepare_generate
from rayboot.pipeline.in_process_executor import InProcessExecutor
from rayboot.pipeline.output_change import finish_change
from rayboot.pipeline.retry_rejects import remove_rejects
from tests.pipeline.photos import mixed_folder

pytestmark = pytest.mark.egl


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, synthetic_set: str) -> GenerateConfig:
    """A finished data set of good and bad photos, and its request."""
    folder = tmp_path_factory.mktemp("retry")
    photos = mixed_folder(folder / "photos", synthetic_set, num_good=4)
    (photos / "damaged.jpg").write_bytes((photos / "000000.jpg").read_bytes()[:-900])
    shutil.copy(photos / "000000.t7", photos / "damaged.t7")
    config = GenerateConfig(
        input=str(photos),
        output=str(folder / "pairs"),
        selection=SelectionConfig(detect_faces=False),
        views={"preset": "small"},
        pools=PoolConfig(batch_size=4, num_readers=1),
    )
    generate(prepare_generate(config), InProcessExecutor())
    return config


def table_to_rows(uri: str) -> dict[str, str]:
    """Outcome or reason by photo; each once."""
    found: dict[str, str] = {}
    for part in Path(uri).glob("outcome=*/*.parquet"):
        for row in pq.read_table(part, partitioning=None).to_pylist():
            assert row["face_id"] not in found
            found[row["face_id"]] = row.get("reason") or "face"
    return found


def test_mended_photos_become_faces(made: GenerateConfig) -> None:
    before = table_to_rows(made.output)
    assert before["damaged.jpg"] == "truncated"
    photos = Path(made.input)
    (photos / "damaged.jpg").write_bytes((photos / "000000.jpg").read_bytes())
    count = remove_rejects(made.output, "read")
    of_read = ("truncated", "empty", "undecodable", "duplicate")
    assert count == sum(reason in of_read for reason in before.values())
    assert read_manifest(made.output) is None
    generate(prepare_generate(made), InProcessExecutor())
    after = table_to_rows(made.output)
    assert after == {**before, "damaged.jpg": "face"}
    assert read_manifest(made.output) is not None


def test_nothing_to_try_again_changes_nothing(made: GenerateConfig) -> None:
    assert remove_rejects(made.output, "reconstruct") == 0
    assert read_manifest(made.output) is not None


@pytest.mark.parametrize("num_steps", range(4))
def test_cut_off_anywhere_it_is_finished_later(
    made: GenerateConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, num_steps: int
) -> None:
    copy = str(tmp_path / "pairs")
    shutil.copytree(made.output, copy)
    done = 0

    def step(real):
        def counted(*args, **options):
            nonlocal done
            if done == num_steps:
                raise KeyboardInterrupt
            done += 1
            return real(*args, **options)

        return counted

    gone = ("truncated", "empty", "undecodable", "duplicate", "not-frontal")
    gone += ("unreadable", "wrong-shape", "unseen", "outside-image")
    expected = {name: why for name, why in table_to_rows(copy).items() if why not in gone}
    with monkeypatch.context() as patch:
        patch.setattr(changes, "write_bytes", step(write_bytes))
        patch.setattr(changes, "write_table", step(write_table))
        patch.setattr(changes, "remove", step(remove))
        with pytest.raises(KeyboardInterrupt):
            [remove_rejects(copy, stage) for stage in ("read", "landmarks", "select")]
    remove(join_uri(copy, "_run/lock.json"))
    finish_change(copy)
    for stage in ("read", "landmarks", "select"):
        remove_rejects(copy, stage)
    assert table_to_rows(copy) == expected
    ids = [
        name
        for part in Path(copy, "_run/checkpoint").glob("*.parquet")
        for name in pq.read_table(part)["face_id"].to_pylist()
    ]
    assert sorted(ids) == sorted(expected)
