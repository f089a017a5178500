from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rayboot.io.storage import list_files
from rayboot.pipeline.checkpoint_files import finished_files, finished_ids, remove_unfinished
from rayboot.pipeline.output_layout import CHECKPOINT

ROWS = "outcome=face"


@pytest.fixture
def output(tmp_path: Path) -> str:
    """Rows of three blocks: written, killed while writing, killed between the two notes."""
    (tmp_path / ROWS).mkdir()
    (tmp_path / CHECKPOINT).mkdir(parents=True)
    for stem, endings in {
        "written": [".parquet"],
        "half": [".pending.parquet"],
        "copied": [".pending.parquet", ".parquet"],
    }.items():
        table = pa.table({"face_id": [f"{stem}.jpg"]})
        pq.write_table(table, tmp_path / ROWS / f"{stem}-000.parquet")
        for ending in endings:
            pq.write_table(table, tmp_path / CHECKPOINT / f"{stem}{ending}")
    return str(tmp_path)


def test_rows_count_where_their_note_is_finished(output: str) -> None:
    names = list_files(output, ROWS)
    assert len(names) == 3
    finished = finished_files(output, names)
    assert sorted(finished) == [f"{ROWS}/copied-000.parquet", f"{ROWS}/written-000.parquet"]
    assert sorted(finished_ids(output).to_pylist()) == ["copied.jpg", "written.jpg"]


def test_only_unfinished_rows_are_removed(output: str) -> None:
    """In an object store a note is copied, then its old name removed."""
    remove_unfinished(output, ROWS)
    rows = [f"{ROWS}/copied-000.parquet", f"{ROWS}/written-000.parquet"]
    assert sorted(list_files(output, ROWS)) == rows == sorted(finished_files(output, rows))
    notes = sorted(Path(name).name for name in list_files(output, CHECKPOINT))
    assert notes == ["copied.parquet", "written.parquet"]
    assert sorted(finished_ids(output).to_pylist()) == ["copied.jpg", "written.jpg"]
    remove_unfinished(output, ROWS)
    assert sorted(list_files(output, ROWS)) == rows


def test_nothing_is_unfinished_before_the_first_block(tmp_path: Path) -> None:
    remove_unfinished(str(tmp_path), ROWS)
    assert finished_files(str(tmp_path), ["a.parquet"]) == ["a.parquet"]
