"""Time and memory of `rayboot preview` on a large pairs data set, made of copies of a small one.

python -m benchmarks.preview runs/pairs --copies 3300
"""

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from rayboot.data.manifest import MANIFEST

ROWS_PER_GROUP = 16
"""Rows of a row group in files of `generate` with the default batch size."""


def copy_pairs(source: Path, target: Path, num_copies: int) -> int:
    """Writes copies of a data set with other ids into one; returns its number of rows."""
    num_rows = 0
    for file in sorted(source.glob("outcome=*/*.parquet")):
        table = pq.read_table(file, partitioning=None)
        column = table.schema.get_field_index("face_id")
        folder = target / file.parent.name
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(num_copies):
            ids = pa.array([f"{number:06d}/{face_id}" for face_id in table["face_id"].to_pylist()])
            copied = table.set_column(column, "face_id", ids)
            copy = folder / f"{number:06d}-{file.name}"
            pq.write_table(copied, copy, row_group_size=ROWS_PER_GROUP)
        num_rows += num_copies * len(table)
    shutil.copy(source / MANIFEST, target)
    return num_rows


def main() -> None:
    """Measures one run of the command in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pairs", type=Path, help="a finished pairs data set on this machine")
    parser.add_argument("--copies", type=int, default=100)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        num_rows = copy_pairs(arguments.pairs, folder / "pairs", arguments.copies)
        page = folder / "pairs.html"
        command = [sys.executable, "-m", "rayboot", "preview", str(folder / "pairs")]
        start = time.perf_counter()
        subprocess.run([*command, "--out", str(page)], check=True, stdout=subprocess.DEVNULL)
        wall_s = time.perf_counter() - start
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        measured = {
            "rows": num_rows,
            "files": sum(1 for _ in folder.glob("pairs/outcome=*/*.parquet")),
            "wall_s": round(wall_s, 1),
            "cpu_s": round(usage.ru_utime + usage.ru_stime, 1),
            "memory_gb": round(usage.ru_maxrss / 2**20, 2),
            "page_mb": round(page.stat().st_size / 1e6, 1),
        }
    print(json.dumps(measured))


if __name__ == "__main__":
    main()
