from pathlib import Path

import pyarrow as pa

from rayboot.io.parquet import count_rows, read_table, write_table


def test_a_table_is_read_as_it_was_written(tmp_path: Path) -> None:
    table = pa.table({"name": ["a", "b"], "number": [1, 2]})
    uri = str(tmp_path / "outcome=face/part.parquet")
    write_table(uri, table, compression="zstd")
    assert read_table(uri).equals(table)
    assert read_table(uri, ["number"]).column_names == ["number"]
    assert count_rows(uri) == 2
