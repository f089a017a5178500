from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rayboot.evaluate.results import (
    RESULT_SCHEMA,
    Results,
    read_result_rows,
    select_band,
    select_side,
)


def table(*rows: tuple[Any, ...]) -> pa.Table:
    names = ("dataset", "model", "face_id", "yaw_deg", "nme_icp", "reason")
    known = [dict(zip(names, row, strict=True)) for row in rows]
    return pa.Table.from_pylist(known, schema=RESULT_SCHEMA)


def test_a_face_has_one_yaw_for_all_models() -> None:
    """Where a model's own shape aligns a scan, each model gives another yaw."""
    nan = float("nan")
    rows = table(
        ("a", "one", "x", nan, nan, "no pose"),
        ("a", "two", "x", 14.0, 0.1, ""),
        ("a", "one", "y", 14.0, 0.1, ""),
        ("a", "two", "y", 16.0, 0.1, ""),
        ("b", "one", "x", 50.0, 0.1, ""),
        ("b", "two", "x", 51.0, 0.1, ""),
    )
    results = Results(rows, ["a", "b"], ["one", "two"])
    assert [[e.yaw_deg for e in found] for found in results.errors().values()] == [[14, 14]] * 2
    assert results.errors("b")["two"][0].yaw_deg == 50


def test_bands_and_sides() -> None:
    rows = table(*(("a", "m", f"{yaw:+04d}", float(yaw), 0.1, "") for yaw in (-70, -10, 0, 15, 60)))
    errors = Results(rows, ["a"], ["m"]).errors()["m"]
    assert sorted(e.yaw_deg for e in select_band(errors, 0, 15)) == [-10, 0, 15]
    assert sorted(e.yaw_deg for e in select_side(errors, 1)) == [15, 60]
    assert sorted(e.yaw_deg for e in select_side(errors, -1)) == [-70, -10]


def test_rows_are_stored(tmp_path: Path) -> None:
    rows = table(("a", "m", "y", 1.0, 0.1, ""), ("a", "m", "x", 2.0, np.nan, "why"))
    Results(rows, ["a"], ["m"]).save(tmp_path / "rows.parquet")
    stored = read_result_rows(tmp_path / "rows.parquet")
    assert stored["face_id"].to_pylist() == ["x", "y"] and stored.schema == RESULT_SCHEMA


def test_the_former_name_of_a_column_is_read(tmp_path: Path) -> None:
    rows = table(("a", "m", "x", 1.0, 0.1, ""))
    pq.write_table(rows.rename_columns(["set", *rows.column_names[1:]]), tmp_path / "rows.parquet")
    assert read_result_rows(tmp_path / "rows.parquet").equals(rows)
