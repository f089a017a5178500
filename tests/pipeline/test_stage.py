"""What stages tell of their batches."""

from typing import Any

import pyarrow as pa
import ray

from rayboot.pipeline.stage import Reading, StageActor, Tally, read_progress
from rayboot.progress import Progress


class RejectOdd:
    """A stage: rows with odd numbers become rejects."""

    def __call__(self, table: pa.Table) -> pa.Table:
        odd = [number % 2 == 1 for number in table["number"].to_pylist()]
        table = table.append_column("stage", pa.array(["sort" if o else None for o in odd]))
        return table.append_column("reason", pa.array(["odd" if o else None for o in odd]))


def sort_batches(tally: Any) -> None:
    stage = StageActor("sort", RejectOdd, tally)
    for first in (0, 3):
        stage(pa.table({"number": [first, first + 1, first + 2]}))


def test_progress_is_what_stages_have_told(ray_local: object) -> None:
    tally: Any = ray.remote(num_cpus=0)(Tally).remote()
    assert read_progress(tally, "sort") is None
    sort_batches(tally)
    assert read_progress(tally, "sort") == Progress(6, None, "3 rejected (3 sort, odd)")
    assert read_progress(tally, "later") is None
    reading: Reading = ray.get(tally.read.remote())
    use = reading.use["sort"]
    assert (use.rows, use.num_bytes > 0, use.busy_s > 0) == (6, True, True)
    assert reading.rejects == {"sort, odd": 3}
    ray.kill(tally)
