from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rayboot.evaluate.results import RESULT_SCHEMA, Results, select_band, select_side


def table(*rows: tuple) -> pa.Table:
    names = ("set", "model", "face_id", "yaw_deg", "nme_icp", "reason")
    known = [dict(zip(names, row, strict=True)) for row in rows]
    return pa.Table.from_pylist(known, schema=RESULT_SCHEMA)


def test_a_face_has_one_yaw_for_all_models() -> None:
    """Of scans that models place themselves, each model tells another."""
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


def test_rows_are_kept(tmp_path: Path) -> None:
    rows = table(("a", "m", "y", 1.0, 0.1, ""), ("a", "m", "x", 2.0, np.nan, "why"))
    Results(rows, ["a"], ["m"]).save(tmp_path / "rows.parquet")
    kept = pq.read_table(tmp_path / "rows.parquet")
    assert kept["face_id"].to_pylist() == ["x", "y"] and kept.schema == RESULT_SCHEMA
