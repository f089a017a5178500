"""Loose photos compared with packed ones: time to list and to fetch them.

    python benchmarks/pack.py [--num-photos 5000]

On a local disk, and on an S3 server on this machine, where a request takes as little time as
possible: over a network loose files are slower still. One reader fetches bytes and landmarks;
``generate`` has several. Decoding is not included.
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

_BATCH_ROWS = 16
"""Photos that a reader fetches concurrently, as in a run."""


@click.command()
@click.option("--num-photos", default=5000, show_default=True)
@click.option("--output", default="runs/pack.json", show_default=True)
def main(num_photos: int, output: str) -> None:
    """Packs and fetches photos; prints and writes a record."""
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
    """Writes ``count`` photos of 256 px, which repeat 64 images."""
    config = SynthesisConfig(num_identities=64, photo_size=256, seed=7)
    synthesize(config, str(folder / "faces"))
    originals = sorted((folder / "faces/Synthetic-3D").glob("*.jpg"))
    loose = folder / "loose"
    loose.mkdir()
    for number in range(count):
        original = originals[number % len(originals)]
        # Bytes after the end of the JPEG data change the file, but not the image.
        data = original.read_bytes() + number.to_bytes(4, "big")
        (loose / f"{number:07d}.jpg").write_bytes(data)
        landmarks = original.with_suffix(".t7").read_bytes()
        (loose / f"{number:07d}.t7").write_bytes(landmarks)
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
    for start in range(0, len(listing), _BATCH_ROWS):
        batch = fetcher.fetch(listing.slice(start, _BATCH_ROWS).to_pylist())
        if any(isinstance(photo, FaceRejectedError) for photo in batch):
            raise click.ClickException("a listed photo could not be fetched")
        count += len(batch)
    return count / (time.perf_counter() - started)


if __name__ == "__main__":
    main()
