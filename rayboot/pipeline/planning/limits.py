"""What grows with the number of photos, and where it ends: listing, memory, files, requests.

What a sample cannot tell stands here as constants, measured by ``benchmarks/scale.py`` on two
cores of an AMD EPYC (docs/generate.md), or taken from others' documentation and named so.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

__all__ = [
    "HEADS_GIB",
    "Input",
    "Limit",
    "count_seconds",
    "find_limits",
    "format_count",
    "format_limits",
    "listing_seconds",
]

_LIST_S = {True: 1.4e-6, False: 31e-6}
"""Processor time to list a photo, duplicates marked, packed or not (measured)."""

_LIST_BYTES = {True: 560, False: 2430}
"""Of the driver's memory, at most, while a photo is listed (measured)."""

_LIST_ANSWER_S, _OBJECTS_AN_ANSWER = 0.1, 1000
"""Of a store that lists loose objects, one answer after the other; S3 gives as many (assumed)."""

_RUN_BYTES, _BLOCK_BYTES = 0.7e9, 15e3
"""Of the driver's memory in a run, and for each block that it has done (measured)."""

_ID_BYTES = 140
"""Of memory that Ray Data reserves for each finished photo on one node, where a run resumes:
half as much again as a name of 35 letters takes (its ``CheckpointFilter``)."""

_COUNT_CPU_S, _COUNTED_AT_ONCE = {True: 4.4e-3, False: 0.45e-3}, 32
"""Processor time to count a file, in a store or on a disk, and how many are asked at once
(measured, and set)."""

_COUNTED_A_TASK = 2048
"""Files, see :mod:`rayboot.pipeline.generate_summary`."""

_REQUESTS = {True: 4 / 64, False: 2.0}
"""That read a photo with its landmarks (counted at a server)."""

_WRITES_A_BLOCK, _ASKS_A_BLOCK = 5, 11
"""Requests for a block with faces and rejects: puts, a copy and a removal; heads and listings
(counted likewise)."""

_GETS_A_SECOND, _PUTS_A_SECOND = 5500, 3500
"""Of S3 below one prefix, as AWS publishes it."""

_MANIFEST_BYTES = 4000
"""Counts and digests; a line for each reason of rejects."""

_LONGEST_S = 3600.0
"""That one machine may spend on listing, or on counting, while the others wait."""

_GIB = 2**30
HEADS_GIB = (16, 32)
"""Of memory, as the heads in docs/clusters.md have."""


class Input(NamedTuple):
    """Photos, as many as there are or might be.

    Attributes:
        num_photos: how many.
        packed: they lie in Parquet files, whose index or rows are listed; else one by one.
        in_store: they and what is made of them lie in an object store, else on disks.
    """

    num_photos: int
    packed: bool
    in_store: bool


class Limit(NamedTuple):
    """Something that grows.

    Attributes:
        name: of it.
        at: what it is for a number of photos, in words.
        breaks_at: photos at which it is too much; None where there is no such number.
        too_much: what that is.
    """

    name: str
    at: Callable[[int], str]
    breaks_at: float | None
    too_much: str


def listing_seconds(photos: Input) -> float:
    """To list an input and mark its duplicates; loose photos on disks are not read for it."""
    seconds = photos.num_photos * _LIST_S[photos.packed]
    if photos.in_store and not photos.packed:
        # With its landmarks a photo is two objects.
        seconds += 2 * photos.num_photos / _OBJECTS_AN_ANSWER * _LIST_ANSWER_S
    return seconds


def count_seconds(
    num_blocks: int, with_rejects: bool, count_s: float, in_store: bool, cores: float
) -> float:
    """To count what was written, at the end of a run.

    Args:
        num_blocks: of the run.
        with_rejects: there are some, which lie in files of their own.
        count_s: until one file is counted.
        in_store: it lies in an object store.
        cores: of all nodes, which share the files.
    """
    num_files = num_blocks * (2 if with_rejects else 1)
    num_tasks = max(1.0, min(cores, num_files / _COUNTED_A_TASK))
    return num_files * max(_COUNT_CPU_S[in_store], count_s / _COUNTED_AT_ONCE) / num_tasks


def find_limits(
    photos: Input,
    table_to_rows: Callable[[int], int],
    count_s: float,
    with_rejects: bool,
    cores: float,
    head_gib: Sequence[int] = HEADS_GIB,
) -> list[Limit]:
    """What grows with such an input.

    Args:
        photos: the input; of its number nothing depends.
        table_to_rows: rows of a block, by the number of photos.
        count_s: until one written file is counted.
        with_rejects: some photos become no face.
        cores: of all nodes.
        head_gib: memory of the machine that the driver runs on, the smallest first.
    """

    def num_blocks(count: int) -> int:
        return -(-count // table_to_rows(count))

    def list_s(count: int) -> float:
        return listing_seconds(photos._replace(num_photos=count))

    def end_s(count: int) -> float:
        return count_seconds(num_blocks(count), with_rejects, count_s, photos.in_store, cores)

    def memory(count: int) -> float:
        listed = count * _LIST_BYTES[photos.packed]
        return max(listed, num_blocks(count) * _BLOCK_BYTES) + _RUN_BYTES

    def resumed(count: int) -> float:
        return count * _ID_BYTES

    def files(count: int) -> str:
        # Faces, rejects, and a note of Ray Data's checkpoint.
        number = num_blocks(count) * (3 if with_rejects else 2)
        return f"{format_count(number)} files, counted in {format_time(end_s(count))}"

    def requests(count: int) -> str:
        asked = count * _REQUESTS[photos.packed] + num_blocks(count) * _ASKS_A_BLOCK
        put = num_blocks(count) * _WRITES_A_BLOCK
        return f"{format_count(asked)} reads, {format_count(put)} writes"

    small = head_gib[0]
    return [
        Limit("listing", lambda n: format_time(list_s(n)), _where(list_s, _LONGEST_S), "an hour"),
        *[
            Limit(
                f"driver's memory, {gib} GiB",
                lambda n: f"{memory(n) / _GIB:.1f} GiB",
                _where(memory, 0.9 * gib * _GIB),
                "nine tenths of it",
            )
            for gib in head_gib
        ],
        Limit(
            "memory of a resumed run",
            lambda n: f"{resumed(n) / _GIB:.1f} GiB",
            _where(resumed, 0.7 * small * _GIB),
            f"what Ray lends on a node of {small} GiB",
        ),
        Limit("files", files, _where(end_s, _LONGEST_S), "an hour of counting"),
        Limit("requests to the store", requests, None, _rates_text(photos, table_to_rows)),
        Limit("manifest", lambda _: f"{_MANIFEST_BYTES / 1000:.0f} kB", None, "does not grow"),
        Limit("registry", lambda _: "some rows a run", None, "does not grow"),
    ]


def _rates_text(photos: Input, table_to_rows: Callable[[int], int]) -> str:
    rows = table_to_rows(10**8)
    reads = _GETS_A_SECOND / (_REQUESTS[photos.packed] + _ASKS_A_BLOCK / rows)
    writes = _PUTS_A_SECOND * rows / _WRITES_A_BLOCK
    return f"S3 below one prefix: {format_count(min(reads, writes))} photos a second"


def _where(grows: Callable[[int], float], too_much: float) -> float | None:
    """The number of photos at which something is too much, to a thousandth; None: never."""
    low, high = 1.0, 1e12
    if grows(int(high)) < too_much:
        return None
    while high / low > 1.001:
        middle = math.sqrt(low * high)
        low, high = (low, middle) if grows(int(middle)) >= too_much else (middle, high)
    return high


def format_limits(limits: Sequence[Limit], num_photos: int) -> str:
    """For a person: each limit at this size and at a hundred million, and the first to break."""
    far = 10**8
    lines = [
        f"{'what grows':26s} {format_count(num_photos):>34s} {format_count(far):>34s}  too much at"
    ]
    for limit in limits:
        where = "-" if limit.breaks_at is None else f"{format_count(limit.breaks_at)} photos"
        lines.append(
            f"{limit.name:26s} {limit.at(num_photos):>34s} {limit.at(far):>34s}  "
            f"{where} ({limit.too_much})"
        )
    ends = [limit for limit in limits if limit.breaks_at is not None]
    first = min(ends, key=lambda limit: limit.breaks_at or math.inf)
    return "\n".join(
        [
            *lines,
            f"the first thing that breaks: {first.name}, at "
            f"{format_count(first.breaks_at or 0)} photos",
        ]
    )


def format_count(number: float) -> str:
    """Two to three digits: ``200 k``, ``1.5 M``."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.3g} {letter}"
    return f"{number:.3g}"


def format_time(seconds: float) -> str:
    """In seconds, minutes or hours."""
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.2g} s"
