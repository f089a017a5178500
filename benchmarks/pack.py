"""Photos as loose files against the same photos packed: seconds to list and to fetch them.

    python benchmarks/pack.py [--num-photos 5000]

On a local disk, and on an S3 server on this machine, where a request costs the least that it
ever will: over a network loose files are slower still. Fetched are bytes and landmarks, by
one reader as ``generate`` has several; decoding is not part of it.
"""

import json
import os
import tempfile
import time
from pathlib import Path

import click
import pyarrow as pa

from benchmarks.machine import commit, describe_machine
from rayboot.cluster.session import connect
from rayboot.data.fetch import PhotoFetcher
from rayboot.errors import FaceRejectedError
from rayboot.pipeline.listing import list_inputs, mark_duplicates
from rayboot.pipeline.pack import pack, prepare_pack
from rayboot.pipeline.synthesize import synthesize
from rayboot.synthesis import SynthesisConfig
from tests.s3 import S3Server

_BATCH = 16
"""Photos that a reader fetches at once, as in a run."""


@click.command()
@click.option("--num-photos", default=5000, show_default=True)
@click.option("--output", default="runs/pack.json", show_default=True)
def main(num_photos: int, output: str) -> None:
    """Packs and fetches; prints and writes a record."""
    with tempfile.TemporaryDirectory(prefix="rayboot-pack-") as name:
        folder = Path(name)
        loose = _make_photos(folder, num_photos)
        (folder / "s3").mkdir()
        server = S3Server(folder / "s3")
        server.start()
        os.environ.update(server.environment)
        try:
            store = server.filesystem()
            store.call_s3("create_bucket", Bucket="faces")
            store.put(f"{loose}/", "faces/loose/", recursive=True)
            record = {
                "commit": commit(),
                "machine": describe_machine(),
                "photos": num_photos,
                "disk": _compare(str(loose), str(folder / "packed")),
                "s3": _compare("s3://faces/loose", "s3://faces/packed"),
            }
        finally:
            server.kill()
    Path(output).parent.mkdir(parents=True, exist_ok=True)
    Path(output).write_text(json.dumps(record, indent=1) + "\n")
    click.echo(json.dumps(record, indent=1))


def _make_photos(folder: Path, count: int) -> Path:
    """Photos of 256 px, 64 pictures over and over."""
    config = SynthesisConfig(num_identities=64, photo_size=256, seed=7)
    synthesize(config, str(folder / "faces"))
    originals = sorted((folder / "faces/Synthetic-3D").glob("*.jpg"))
    loose = folder / "loose"
    loose.mkdir()
    for number in range(count):
        original = originals[number % len(originals)]
        # Bytes after a picture's end change its content, not the picture.
        data = original.read_bytes() + number.to_bytes(4, "big")
        (loose / f"{number:07d}.jpg").write_bytes(data)
        marks = original.with_suffix(".t7").read_bytes()
        (loose / f"{number:07d}.t7").write_bytes(marks)
    return loose


def _compare(loose: str, packed: str) -> dict[str, float]:
    started = time.perf_counter()
    plan = prepare_pack(loose, packed)
    with connect():
        pack(plan)
    seconds = time.perf_counter() - started
    times = {"pack_s": seconds}
    for name, uri in (("loose", loose), ("packed", packed)):
        started = time.perf_counter()
        listing = mark_duplicates(list_inputs(uri))
        times[f"{name}_list_s"] = time.perf_counter() - started
        times[f"{name}_photos_a_second"] = _fetch_rate(listing)
    times["listing_faster"] = times["loose_list_s"] / times["packed_list_s"]
    times["fetching_faster"] = times["packed_photos_a_second"] / times["loose_photos_a_second"]
    return times


def _fetch_rate(listing: pa.Table) -> float:
    fetcher = PhotoFetcher()
    started, count = time.perf_counter(), 0
    for start in range(0, len(listing), _BATCH):
        batch = fetcher.fetch(listing.slice(start, _BATCH).to_pylist())
        if any(isinstance(photo, FaceRejectedError) for photo in batch):
            raise click.ClickException("a photo is gone")
        count += len(batch)
    return count / (time.perf_counter() - started)


if __name__ == "__main__":
    main()
