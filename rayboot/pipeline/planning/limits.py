"""Limits on the number of photos: listing, the driver's memory, files and store requests.

Costs that a sample cannot show are constants here, measured by ``benchmarks/scale.py`` on two
cores of an AMD EPYC (docs/results/throughput.md), or taken from the documentation of others,
which is then named.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

__all__ = [
    "HEAD_NODE_MEMORY_GIB",
    "InputSpec",
    "Limit",
    "compute_limits",
    "estimate_counting_s",
    "estimate_listing_s",
    "format_count",
    "format_limits",
]

_LISTING_CPU_S = {True: 1.4e-6, False: 31e-6}
"""Processor time per photo to list it and to mark duplicates, packed or not (measured)."""

_LISTING_BYTES = {True: 560, False: 2430}
"""Peak memory of the driver per photo while photos are listed, packed or not (measured)."""

_LIST_REQUEST_S, _OBJECTS_PER_LIST_REQUEST = 0.1, 1000
"""Latency of a store that lists loose objects, one request after the other (assumed), and the
number of objects in one response, that of S3."""

_RUN_BYTES, _BLOCK_BYTES = 0.7e9, 15e3
"""Memory of the driver in a run, and for each finished block (measured)."""

_FACE_ID_BYTES = 140
"""Memory that Ray Data reserves on one node for each finished photo when a run resumes: 1.5 times
the size of a name of 35 letters (its ``CheckpointFilter``)."""

_COUNT_CPU_S, _NUM_CONCURRENT_COUNTS = {True: 4.4e-3, False: 0.45e-3}, 32
"""Processor time to count the rows of a file, in an object store or on a disk (measured), and
the number of files read at a time (:mod:`rayboot.pipeline.generate_summary`)."""

_FILES_PER_COUNT_TASK = 2048
"""Number of files that one task counts, see :mod:`rayboot.pipeline.generate_summary`."""

_READ_REQUESTS_PER_PHOTO = {True: 4 / 64, False: 2.0}
"""Requests that read a photo with its landmarks, packed or not (counted at a server)."""

_WRITE_REQUESTS_PER_BLOCK, _READ_REQUESTS_PER_BLOCK = 5, 11
"""Requests for a block with faces and rejects: puts, a copy and a deletion; heads and listings
(counted at a server)."""

_MAX_GETS_PER_S, _MAX_PUTS_PER_S = 5500, 3500
"""Request rates of S3 below one prefix, as AWS publishes them."""

_MANIFEST_BYTES = 4000
"""Size of a manifest: counts and digests, and a line for each reason of rejects."""

_MAX_SERIAL_S = 3600.0
"""Longest time that one machine may spend on listing or counting while the others wait."""

_GIB = 2**30
HEAD_NODE_MEMORY_GIB = (16, 32)
"""Memory of the head nodes in docs/guides/clusters.md, in GiB, the smallest first."""


class InputSpec(NamedTuple):
    """Number and storage of the photos of a run, real or hypothetical.

    Attributes:
        num_photos: number of photos.
        packed: whether the photos are in Parquet files, whose index or rows are listed, instead
            of one file each.
        in_object_store: whether photos and output are in an object store, instead of on disks.
    """

    num_photos: int
    packed: bool
    in_object_store: bool


class Limit(NamedTuple):
    """A quantity that grows with the number of photos, and the number at which it is too large.

    Attributes:
        name: name of the quantity.
        describe: returns the quantity for a number of photos, as text.
        max_photos: number of photos at which it reaches its threshold; None if it never does.
        threshold: the threshold, as text.
    """

    name: str
    describe: Callable[[int], str]
    max_photos: float | None
    threshold: str


def estimate_listing_s(photos: InputSpec) -> float:
    """Returns the time to list an input and mark its duplicates.

    Loose photos on disks are assumed not to be read for it.
    """
    seconds = photos.num_photos * _LISTING_CPU_S[photos.packed]
    if photos.in_object_store and not photos.packed:
        # A photo and its landmarks are two objects.
        seconds += 2 * photos.num_photos / _OBJECTS_PER_LIST_REQUEST * _LIST_REQUEST_S
    return seconds


def estimate_counting_s(
    num_blocks: int, with_rejects: bool, count_s: float, in_object_store: bool, cores: float
) -> float:
    """Returns the time to count the output at the end of a run.

    Args:
        num_blocks: number of blocks of the run.
        with_rejects: whether there are rejects, which are stored in files of their own.
        count_s: latency of counting one file.
        in_object_store: whether the output is in an object store.
        cores: cores of all nodes, which share the files.
    """
    num_files = num_blocks * (2 if with_rejects else 1)
    num_tasks = max(1.0, min(cores, num_files / _FILES_PER_COUNT_TASK))
    file_s = max(_COUNT_CPU_S[in_object_store], count_s / _NUM_CONCURRENT_COUNTS)
    return num_files * file_s / num_tasks


def compute_limits(
    photos: InputSpec,
    rows_per_block: Callable[[int], int],
    count_s: float,
    with_rejects: bool,
    cores: float,
    head_memory_gib: Sequence[int] = HEAD_NODE_MEMORY_GIB,
) -> list[Limit]:
    """Returns the quantities that grow with the number of photos of such an input.

    Args:
        photos: the input; its number of photos has no influence.
        rows_per_block: returns the rows of a block for a number of photos.
        count_s: latency of counting one output file.
        with_rejects: whether some photos become rejects.
        cores: cores of all nodes.
        head_memory_gib: memory of the machine that runs the driver, the smallest first.
    """

    def num_blocks(num_photos: int) -> int:
        return -(-num_photos // rows_per_block(num_photos))

    def listing_s(num_photos: int) -> float:
        return estimate_listing_s(photos._replace(num_photos=num_photos))

    def counting_s(num_photos: int) -> float:
        return estimate_counting_s(
            num_blocks(num_photos), with_rejects, count_s, photos.in_object_store, cores
        )

    def driver_bytes(num_photos: int) -> float:
        listing_bytes = num_photos * _LISTING_BYTES[photos.packed]
        return max(listing_bytes, num_blocks(num_photos) * _BLOCK_BYTES) + _RUN_BYTES

    def resumed_bytes(num_photos: int) -> float:
        return num_photos * _FACE_ID_BYTES

    def describe_files(num_photos: int) -> str:
        # Faces, rejects, and a record of Ray Data's checkpoint.
        num_files = num_blocks(num_photos) * (3 if with_rejects else 2)
        return (
            f"{format_count(num_files)} files, counted in {format_duration(counting_s(num_photos))}"
        )

    def describe_requests(num_photos: int) -> str:
        reads = (
            num_photos * _READ_REQUESTS_PER_PHOTO[photos.packed]
            + num_blocks(num_photos) * _READ_REQUESTS_PER_BLOCK
        )
        writes = num_blocks(num_photos) * _WRITE_REQUESTS_PER_BLOCK
        return f"{format_count(reads)} reads, {format_count(writes)} writes"

    smallest_gib = head_memory_gib[0]
    return [
        Limit(
            "listing",
            lambda n: format_duration(listing_s(n)),
            _find_threshold(listing_s, _MAX_SERIAL_S),
            "an hour",
        ),
        *[
            Limit(
                f"driver's memory, {gib} GiB",
                lambda n: f"{driver_bytes(n) / _GIB:.1f} GiB",
                _find_threshold(driver_bytes, 0.9 * gib * _GIB),
                "nine tenths of it",
            )
            for gib in head_memory_gib
        ],
        Limit(
            "memory of a resumed run",
            lambda n: f"{resumed_bytes(n) / _GIB:.1f} GiB",
            _find_threshold(resumed_bytes, 0.7 * smallest_gib * _GIB),
            f"what Ray offers on a node of {smallest_gib} GiB",
        ),
        Limit(
            "files",
            describe_files,
            _find_threshold(counting_s, _MAX_SERIAL_S),
            "an hour of counting",
        ),
        Limit(
            "requests to the store",
            describe_requests,
            None,
            _format_max_rate(photos, rows_per_block),
        ),
        Limit("manifest", lambda _: f"{_MANIFEST_BYTES / 1000:.0f} kB", None, "does not grow"),
        Limit("registry", lambda _: "some rows per run", None, "does not grow"),
    ]


def _format_max_rate(photos: InputSpec, rows_per_block: Callable[[int], int]) -> str:
    num_rows = rows_per_block(10**8)
    reads_per_photo = _READ_REQUESTS_PER_PHOTO[photos.packed] + _READ_REQUESTS_PER_BLOCK / num_rows
    max_rate_of_reads = _MAX_GETS_PER_S / reads_per_photo
    max_rate_of_writes = _MAX_PUTS_PER_S * num_rows / _WRITE_REQUESTS_PER_BLOCK
    max_rate = min(max_rate_of_reads, max_rate_of_writes)
    return f"S3 below one prefix: {format_count(max_rate)} photos per second"


def _find_threshold(quantity: Callable[[int], float], threshold: float) -> float | None:
    """Finds the number of photos at which a growing quantity reaches its threshold, by bisection.

    Returns:
        The number to a thousandth; None if the quantity is smaller even for 1e12 photos.
    """
    low, high = 1.0, 1e12
    if quantity(int(high)) < threshold:
        return None
    while high / low > 1.001:
        middle = math.sqrt(low * high)
        low, high = (low, middle) if quantity(int(middle)) >= threshold else (middle, high)
    return high


def format_limits(limits: Sequence[Limit], num_photos: int) -> str:
    """Formats a table of limits at this size and at a hundred million photos, and the lowest one.

    Args:
        limits: at least one of them with a number of photos.
        num_photos: number of photos of the input.
    """
    large = 10**8
    lines = [f"{'quantity':26s} {format_count(num_photos):>34s} {format_count(large):>34s}  limit"]
    for limit in limits:
        photos = "-" if limit.max_photos is None else f"{format_count(limit.max_photos)} photos"
        lines.append(
            f"{limit.name:26s} {limit.describe(num_photos):>34s} {limit.describe(large):>34s}  "
            f"{photos} ({limit.threshold})"
        )
    finite = [limit for limit in limits if limit.max_photos is not None]
    first = min(finite, key=lambda limit: limit.max_photos or math.inf)
    return "\n".join(
        [
            *lines,
            f"first limit reached: {first.name}, at {format_count(first.max_photos or 0)} photos",
        ]
    )


def format_count(number: float) -> str:
    """Formats a number with up to three digits: ``200 k``, ``1.5 M``."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.3g} {letter}"
    return f"{number:.3g}"


def format_duration(seconds: float) -> str:
    """Formats a duration in seconds, minutes or hours."""
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.2g} s"
