"""What a run wrote about itself: manifests, stamps, states; and its rejects, counted."""

import json
import posixpath
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pyarrow.parquet as pq

from rayboot.errors import RequestError
from rayboot.io.storage import Entry, join_uri, list_entries, open_file, read_bytes

__all__ = ["read_run", "run_ids"]

_NAMES = frozenset({
    "manifest.json", "stamp.json", "lock.json", "forgetting.json", "round.json", "drift.json",
    "summary.json",
})  # fmt: skip
_LARGEST = 2**20
_LISTED = 5000
_REJECT_FILES = 50
_EXAMPLES = 5


def read_run(uri: str, folder: str = "run") -> Iterator[tuple[str, str]]:
    """The run's own files and a listing of the others, which stay where they are.

    Args:
        uri: of what the run wrote, or of a folder above.
        folder: of the bundle.

    Raises:
        RequestError: there is nothing.
    """
    entries = list_entries(uri)
    if not entries:
        raise RequestError(f"{uri}: nothing is there")
    lines = [f"{entry.num_bytes:>14} {name}" for name, entry in list(entries.items())[:_LISTED]]
    if len(entries) > _LISTED:
        lines.append(f"and {len(entries) - _LISTED} more")
    yield f"{folder}/files.txt", "\n".join(lines)
    for name in _own_files(entries):
        yield f"{folder}/{name}", read_bytes(join_uri(uri, name)).decode("utf-8", "replace")
    for above in sorted({_above(name) for name in entries if "outcome=reject/" in name}):
        names = [name for name in entries if name.startswith(f"{above}outcome=reject/")]
        counted = _count_rejects(uri, names)
        yield f"{folder}/{above}rejects.json", json.dumps(counted, indent=1, ensure_ascii=False)


def _own_files(entries: dict[str, Entry]) -> list[str]:
    return [
        name
        for name, entry in entries.items()
        if posixpath.basename(name) in _NAMES or name.endswith(".run.json")
        if entry.num_bytes <= _LARGEST
    ]


def _above(name: str) -> str:
    return name[: name.index("outcome=reject/")]


def _count_rejects(uri: str, names: list[str]) -> dict[str, Any]:
    """Counts by stage and reason with some ids each, of the first files."""
    counts: Counter[str] = Counter()
    examples: dict[str, list[str]] = {}
    for name in names[:_REJECT_FILES]:
        with open_file(join_uri(uri, name)) as file:
            # Columns by name: thumbnails are pictures of people.
            table = pq.ParquetFile(file).read(columns=["face_id", "stage", "reason"])
        for row in table.to_pylist():
            key = f"{row['stage']}, {row['reason']}"
            counts[key] += 1
            if len(kept := examples.setdefault(key, [])) < _EXAMPLES:
                kept.append(row["face_id"])
    read = f"{min(len(names), _REJECT_FILES)} of {len(names)}"
    return {"files read": read, "counts": dict(counts.most_common()), "examples": examples}


def run_ids(uri: str) -> list[str]:
    """Ids of the runs at ``uri``, as their log lines have them, those in MLflow first."""
    entries = list_entries(uri)
    ids: dict[str, None] = {}
    own = _own_files(entries)
    for name in sorted(own, key=lambda name: not name.endswith(("round.json", ".run.json"))):
        try:
            found = json.loads(read_bytes(join_uri(uri, name))).get("run_id")
        except (ValueError, AttributeError):
            continue
        if isinstance(found, str) and found:
            ids[found] = None
    return list(ids)
