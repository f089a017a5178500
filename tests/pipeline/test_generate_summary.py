from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rayboot.data.schema import PAIRS_SCHEMA
from rayboot.pipeline import generate_summary as summary
from rayboot.pipeline.generate_summary import (
    GenerateSummary,
    count_finished_photos,
    format_summary,
    summarize,
)
from rayboot.pipeline.stage_usage import StageUsage

SUMMARY = GenerateSummary("s3://b/pairs", 90, 400, 2, {("select", "not-frontal"): 10})


def test_a_summary_lists_counts_costs_and_uris() -> None:
    usage = {"read": StageUsage(100, 1.0, 0.5, 9), "turn": StageUsage(100, 20.0, 12.0, 9)}
    text = format_summary(SUMMARY._replace(stages=usage, seconds=4000.0))
    assert text.splitlines() == [
        "90 faces, 400 views (2 more would leave the volume)",
        "10 rejected: select, not-frontal",
        "100 photos in 1 h 6 min, 0.0 photos per second",
        "  read: 5 ms of CPU per photo",
        "  turn: 120 ms of CPU per photo",
        "pairs    s3://b/pairs/outcome=face",
        "rejects  s3://b/pairs/outcome=reject",
        "manifest s3://b/pairs/manifest.json",
    ]


def test_photos_that_passed_a_stage_twice_count_once() -> None:
    usage = {"read": StageUsage(108, 1.0, 0.5, 9), "turn": StageUsage(104, 20.0, 12.0, 9)}
    text = format_summary(SUMMARY._replace(stages=usage, seconds=50.0))
    assert "100 photos in 50 s, 2.0 photos per second" in text.splitlines()


def test_a_resumed_run_counts_its_own_photos() -> None:
    usage = {"read": StageUsage(40, 1.0, 0.5, 9), "turn": StageUsage(40, 20.0, 12.0, 9)}
    text = format_summary(SUMMARY._replace(stages=usage, seconds=20.0))
    assert "40 photos in 20 s, 2.0 photos per second" in text.splitlines()


def test_a_data_set_that_was_already_finished_shows_no_costs() -> None:
    text = format_summary(SUMMARY._replace(rejects={}, num_views_left_out=0))
    assert text.splitlines()[0] == "90 faces, 400 views"
    assert "per second" not in text
    assert "rejects" not in text


def write_part(folder: Path, name: str, rows: list[dict[str, object]]) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, schema=PAIRS_SCHEMA), folder / name)


def test_a_data_set_is_counted_file_by_file(tmp_path: Path) -> None:
    view = {"yaw_deg": 20.0}
    for number in range(5):
        faces = [{"face_id": f"{number}-{i}", "num_views_left_out": 1} for i in range(3)]
        views = [{**face, "views": [view] * number} for face in faces]
        write_part(tmp_path, f"outcome=face/{number}.parquet", views)
    reject = {"face_id": "a", "stage": "read", "reason": "missing"}
    write_part(tmp_path, "outcome=reject/a.parquet", [reject, {**reject, "reason": "empty"}])
    write_part(tmp_path, "outcome=reject/b.parquet", [reject])
    write_part(tmp_path, "_run/listing.parquet", [reject])
    assert count_finished_photos(str(tmp_path)) == 18
    rejects = {("read", "missing"): 2, ("read", "empty"): 1}
    assert summarize(str(tmp_path)) == GenerateSummary(str(tmp_path), 15, 30, 15, rejects)


def test_landmark_files_that_were_not_used_are_counted(tmp_path: Path) -> None:
    face = {"face_id": "a", "num_views_left_out": 0}
    unread, wrong = {"unused_landmarks": "unreadable"}, {"unused_landmarks": "wrong-shape"}
    write_part(tmp_path, "outcome=face/0.parquet", [face, {**face, **unread}, {**face, **wrong}])
    reject = {"face_id": "b", "stage": "landmarks", "reason": "no-face", **wrong}
    write_part(tmp_path, "outcome=reject/0.parquet", [reject])
    counted = summarize(str(tmp_path))
    assert counted.unused_landmarks == {"unreadable": 1, "wrong-shape": 2}
    assert format_summary(counted).splitlines()[1] == (
        "3 photos have landmark files of an unknown kind (1 unreadable, 2 wrong-shape); the "
        "detector searched their faces"
    )


def test_rows_of_an_earlier_version_have_no_such_column(tmp_path: Path) -> None:
    rows = pa.Table.from_pylist([{"face_id": "a"}], schema=PAIRS_SCHEMA)
    (tmp_path / "outcome=face").mkdir()
    pq.write_table(rows.drop_columns("unused_landmarks"), tmp_path / "outcome=face/0.parquet")
    assert summarize(str(tmp_path)).unused_landmarks == {}


def test_an_empty_folder_has_no_rows(tmp_path: Path) -> None:
    assert count_finished_photos(str(tmp_path)) == 0
    assert summarize(str(tmp_path)).num_faces == 0


def test_all_nodes_count_a_data_set_of_many_files(
    tmp_path: Path, ray_local: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(summary, "_FILES_PER_TASK", 2)
    for number in range(5):
        rows = [{"face_id": f"{number}-{i}", "num_views_left_out": 2} for i in range(number)]
        write_part(tmp_path, f"outcome=face/{number}.parquet", rows)
    assert count_finished_photos(str(tmp_path)) == 10
    assert summarize(str(tmp_path)) == GenerateSummary(str(tmp_path), 10, 0, 20, {})
