"""Costs of a run that grow with the number of photos: listing, Ray's driver, counting.

    python benchmarks/scale.py [--num-photos 1000000 ...] [--num-blocks 2000 --rows 32]

No image is made or read: listings have names like those of LS3D-W, blocks pass through stages
that do nothing, files contain faces of a few bytes. Each number is measured in a separate process.
``rayboot/pipeline/planning/limits.py`` contains them as constants.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.machine import commit, describe_machine
from rayboot.data.readers import INDEX_NAME, PHOTO_SCHEMA
from rayboot.data.schema import PAIRS_SCHEMA

_PHOTOS_PER_VIDEO, _PHOTOS_PER_PACK = 1000, 8192


@click.command()
@click.option("--num-photos", multiple=True, type=int, default=(100_000, 1_000_000))
@click.option("--num-blocks", default=2000, show_default=True)
@click.option("--rows", default=32, show_default=True, help="Rows per block.")
@click.option("--num-files", default=2000, show_default=True)
@click.option("--output", default="runs/scale.json", show_default=True)
def main(
    num_photos: tuple[int, ...], num_blocks: int, rows: int, num_files: int, output: str
) -> None:
    """Measures everything; prints and writes a record."""
    record: dict[str, Any] = {"commit": commit(), "machine": describe_machine()}
    with tempfile.TemporaryDirectory(prefix="rayboot-scale-") as folder:
        for kind in ("packed", "loose"):
            record[kind] = [_run_in_subprocess(kind, str(count), folder) for count in num_photos]
        record["blocks"] = _run_in_subprocess("blocks", str(num_blocks), str(rows), folder)
        record["files"] = _run_in_subprocess("files", str(num_files), folder)
        record["simulated"] = _run_in_subprocess("simulated", "60", folder)
    Path(output).parent.mkdir(parents=True, exist_ok=True)
    Path(output).write_text(json.dumps(record, indent=1) + "\n")
    click.echo(json.dumps(record, indent=1))


def _run_in_subprocess(*arguments: str) -> dict[str, float]:
    """Runs one measurement in a separate process and returns the result that it prints."""
    command = [sys.executable, "-m", "benchmarks.scale", "--in-process", *arguments]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def list_packed(num_photos: int, folder: str) -> dict[str, float]:
    """Measures the step from the index of packed photos to the listing of a run."""
    index = Path(folder, f"packed-{num_photos}", INDEX_NAME)
    index.parent.mkdir()
    with pq.ParquetWriter(index, PHOTO_SCHEMA) as writer:
        for start in range(0, num_photos, _PHOTOS_PER_PACK):
            writer.write_table(_index(range(start, min(start + _PHOTOS_PER_PACK, num_photos))))
    return _time_listing(str(index.parent), num_photos, folder)


def list_loose(num_photos: int, folder: str) -> dict[str, float]:
    """Measures the step from a bucket's objects to the listing of a run, without a real store."""
    import fsspec

    class Bucket(fsspec.AbstractFileSystem):  # type: ignore[misc] # fsspec has no types
        """Returns entries like those of s3fs."""

        protocol = "bucket"

        def find(self, path: str, **_: Any) -> dict[str, dict[str, Any]]:
            return {
                f"faces/{name}": {
                    "Key": f"faces/{name}",
                    "LastModified": time.localtime(number),
                    "ETag": f'"{number:032x}"',
                    "Size": number,
                    "StorageClass": "STANDARD",
                    "type": "file",
                    "size": number,
                    "name": f"faces/{name}",
                }
                for number in range(num_photos)
                for name in (_name(number), _name(number)[:-3] + "t7")
            }

    fsspec.register_implementation("bucket", Bucket)
    return _time_listing("bucket://faces", num_photos, folder)


def _name(number: int) -> str:
    video, frame = divmod(number, _PHOTOS_PER_VIDEO)
    return f"300VW-3D/Trainset/{video:06d}/{frame:06d}.jpg"


def _index(numbers: range) -> pa.Table:
    count = len(numbers)
    names = [_name(number) for number in numbers]
    file = f"{numbers.start // _PHOTOS_PER_PACK:06d}_000000_{numbers.start:032x}.parquet"
    columns: dict[str, list[Any]] = {
        "face_id": names,
        "source_uri": [file] * count,
        "source_offset": list(range(count)),
        "landmarks_uri": [file] * count,
        "landmarks_offset": list(range(count)),
        "landmarks_suffix": [".t7"] * count,
        "tag": [f"{number:064x}" for number in numbers],
        "dataset": ["300VW-3D"] * count,
        "group_id": [name.rpartition("/")[0] for name in names],
        "is_frame": [True] * count,
        "is_test": [False] * count,
    }
    arrays = [pa.array(columns.get(name, [None] * count), kind) for name, kind in _fields()]
    return pa.table(arrays, schema=PHOTO_SCHEMA)


def _fields() -> list[tuple[str, pa.DataType]]:
    return [(field.name, field.type) for field in PHOTO_SCHEMA]


def _time_listing(uri: str, num_photos: int, folder: str) -> dict[str, float]:
    from rayboot.pipeline.generate_request import write_listing

    before = _memory("VmRSS")
    started = time.process_time()
    write_listing(uri, 1, str(Path(folder, f"out-{uri[-3:]}-{num_photos}")))
    seconds = time.process_time() - started
    peak = _memory("VmHWM") - before
    return {
        "photos": num_photos,
        "cpu_us_a_photo": 1e6 * seconds / num_photos,
        "peak_bytes_a_photo": peak / num_photos,
    }


def _memory(kind: str) -> int:
    lines = Path("/proc/self/status").read_text("utf-8").splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(kind))


def pass_blocks(num_blocks: int, rows: int, folder: str) -> dict[str, float]:
    """Measures time and memory of Ray's driver per block, with stages that do nothing."""
    import ray.data

    from rayboot.cluster.session import connect
    from rayboot.pipeline.planning.calibration import map_identity_stages

    path = Path(folder, "blocks.parquet")
    table = _index(range(num_blocks * rows)).append_column(
        "duplicate_of", pa.nulls(num_blocks * rows, pa.string())
    )
    pq.write_table(table, path, row_group_size=2048)
    process = psutil.Process()
    with connect():
        blocks = map_identity_stages(ray.data.read_parquet(str(path), num_cpus=0.1), rows, 16)
        started, samples = time.monotonic(), []
        rss_before = process.memory_info().rss
        for _ in blocks.iter_internal_ref_bundles():
            spent = sum(process.cpu_times()[:2])
            samples.append((time.monotonic(), spent, process.memory_info().rss))
    # Actors start during the first tenth.
    (first_at, first_cpu, _), (last_at, last_cpu, last_rss) = (
        samples[num_blocks // 10],
        samples[-1],
    )
    count = len(samples) - 1 - num_blocks // 10
    return {
        "blocks": len(samples),
        "rows": rows,
        "first_block_s": samples[0][0] - started,
        "driver_mb_at_first_block": (samples[0][2] - rss_before) / 1e6,
        "ms_a_block": 1000 * (last_at - first_at) / count,
        "driver_cpu_ms_a_block": 1000 * (last_cpu - first_cpu) / count,
        "driver_kb_a_block": (last_rss - rss_before) / 1e3 / len(samples),
    }


def simulate_sleepers(num_blocks: int, folder: str) -> dict[str, float]:
    """Compares the simulation with Ray, on stages that sleep.

    Sleeping makes the result nearly independent of other load on the machine. The renderers are
    the bottleneck, and most of them are idle during the last blocks.
    """
    from functools import partial

    import ray
    import ray.data

    from rayboot.cluster.session import connect
    from rayboot.pipeline.actor import StageStats, map_with_actor_pool
    from rayboot.pipeline.blocks import ROWS_PER_BLOCK, cut_into_blocks
    from rayboot.pipeline.planning.simulation import Station, simulate

    stages = {"read": (2, 0.01), "reconstruct": (1, 0.02), "turn": (4, 0.1)}
    path = Path(folder, "sleepers.parquet")
    pq.write_table(_index(range(num_blocks * ROWS_PER_BLOCK)), path)
    with connect():
        stats: Any = ray.remote(num_cpus=0)(StageStats).remote()
        started = time.monotonic()
        rows = cut_into_blocks(ray.data.read_parquet(str(path), num_cpus=0.1), ROWS_PER_BLOCK, 0.1)
        for name, (count, row_s) in stages.items():
            actor = {"name": name, "stage": partial(_Sleeper, row_s), "stats": stats}
            rows = map_with_actor_pool(rows, actor, 16, num_actors=count, num_cpus=0.1)
        ends = [time.monotonic() - started for _ in rows.iter_internal_ref_bundles()]
        first_s = ray.get(stats.snapshot.remote()).first_batch_s["read"] - 16 * stages["read"][1]
    stations = [
        Station(name, count, ROWS_PER_BLOCK * row_s, 0.0) for name, (count, row_s) in stages.items()
    ]
    simulated = simulate([Station("driver", 1, 0.03, 0.0), *stations], 1, num_blocks)
    first, last = num_blocks // 3, 2 * num_blocks // 3
    return {
        "simulated_s": simulated.seconds,
        "real_s": ends[-1] - first_s,
        "simulated_s_a_block": simulated.steady_interval_s,
        "real_s_a_block": (ends[last] - ends[first]) / (last - first),
    }


class _Sleeper:
    """A stage that sleeps for a fixed time per row."""

    def __init__(self, row_s: float) -> None:
        self._row_s = row_s

    def __call__(self, table: pa.Table) -> pa.Table:
        time.sleep(self._row_s * len(table))
        return table


def count_files(num_files: int, folder: str) -> dict[str, float]:
    """Measures counting the rows of a finished data set's files."""
    from rayboot.pipeline.generate_summary import count_finished_photos, summarize

    pairs = Path(folder, "pairs/outcome=face")
    pairs.mkdir(parents=True)
    view = {"yaw_deg": 20.0, "image": bytes(5000)}
    rows = [
        {"face_id": str(i), "num_views_left_out": 0, "views": [view] * 6, "image": bytes(5000)}
        for i in range(32)
    ]
    table = pa.Table.from_pylist(rows, schema=PAIRS_SCHEMA)
    for number in range(num_files):
        pq.write_table(table, pairs / f"{number}.parquet")
    record = {"files": float(num_files)}
    calls: dict[str, Callable[[str], object]] = {
        "count": count_finished_photos,
        "summarize": summarize,
    }
    for name, call in calls.items():
        started, spent = time.perf_counter(), time.process_time()
        call(str(pairs.parent))
        record[f"{name}_ms_a_file"] = 1000 * (time.perf_counter() - started) / num_files
        record[f"{name}_cpu_ms_a_file"] = 1000 * (time.process_time() - spent) / num_files
    return record


if __name__ == "__main__":
    if sys.argv[1:2] == ["--in-process"]:
        kind, *rest = sys.argv[2:]
        calls = {
            "packed": list_packed,
            "loose": list_loose,
            "blocks": pass_blocks,
            "files": count_files,
            "simulated": simulate_sleepers,
        }
        numbers, folder = [int(text) for text in rest[:-1]], rest[-1]
        print(json.dumps(calls[kind](*numbers, folder)))  # type: ignore[operator]
    else:
        main()
