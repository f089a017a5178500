from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rayboot.io.parquet import count_rows, read_some_rows, read_table, write_table


def test_a_table_is_read_as_it_was_written(tmp_path: Path) -> None:
    table = pa.table({"name": ["a", "b"], "number": [1, 2]})
    uri = str(tmp_path / "outcome=face/part.parquet")
    write_table(uri, table, compression="zstd")
    assert read_table(uri).equals(table)
    assert read_table(uri, ["number"]).column_names == ["number"]
    assert count_rows(uri) == 2


@pytest.mark.parametrize("rows", [[6, 0, 3], [4], [2, 2, 9], list(range(10))])
def test_some_rows_are_read_in_their_order(tmp_path: Path, rows: list[int]) -> None:
    uri = str(tmp_path / "part.parquet")
    table = pa.table({"number": range(10), "other": range(10, 20)})
    write_table(uri, table, row_group_size=3)
    assert read_some_rows(uri, rows, ["number", "missing"]).to_pydict() == {"number": rows}


def test_only_the_row_groups_of_the_rows_are_read(tmp_path: Path) -> None:
    uri = tmp_path / "part.parquet"
    table = pa.table({"number": range(10)})
    write_table(str(uri), table, row_group_size=5, compression="none", use_dictionary=False)
    content = uri.read_bytes()
    start = pq.read_metadata(uri).row_group(1).column(0).data_page_offset
    uri.write_bytes(content[:start] + bytes(20) + content[start + 20 :])
    assert read_some_rows(str(uri), [4, 1], ["number"])["number"].to_pylist() == [4, 1]
    with pytest.raises(OSError, match=r"[Pp]age"):
        read_some_rows(str(uri), [4, 5], ["number"])
