"""Parts of a support bundle about a run: its manifests, fingerprints, states and reject counts."""

import json
import posixpath
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pyarrow.parquet as pq

from rayboot.errors import RequestError
from rayboot.io.storage import Entry, join_uri, list_entries, open_file, read_bytes

__all__ = ["read_run", "run_ids"]

_RUN_FILES = frozenset({
    "manifest.json", "fingerprint.json", "stamp.json", "lock.json", "change.json",
    "round.json", "drift.json", "summary.json",
})  # fmt: skip
"""Names of the files in which a run describes itself; ``stamp.json`` is that of version 0.1."""

_MAX_FILE_BYTES = 2**20
_MAX_LISTED = 5000
_MAX_REJECT_FILES = 50
_MAX_EXAMPLES = 5


def read_run(uri: str, folder: str = "run") -> Iterator[tuple[str, str]]:
    """Yields the files in which a run describes itself, and a listing of all its files.

    Args:
        uri: URI of the run's output, or of a folder above it.
        folder: folder in the bundle.

    Raises:
        RequestError: there is no file at ``uri``.
    """
    entries = list_entries(uri)
    if not entries:
        raise RequestError(f"{uri}: contains no file; give --run the output of a run")
    lines = [f"{entry.num_bytes:>14} {name}" for name, entry in list(entries.items())[:_MAX_LISTED]]
    if len(entries) > _MAX_LISTED:
        lines.append(f"and {len(entries) - _MAX_LISTED} more")
    yield f"{folder}/files.txt", "\n".join(lines)
    for name in _find_run_files(entries):
        yield f"{folder}/{name}", read_bytes(join_uri(uri, name)).decode("utf-8", "replace")
    for data in sorted({_data_prefix(name) for name in entries if "outcome=reject/" in name}):
        names = [name for name in entries if name.startswith(f"{data}outcome=reject/")]
        counts = _count_rejects(uri, names)
        yield f"{folder}/{data}rejects.json", json.dumps(counts, indent=1, ensure_ascii=False)


def _find_run_files(entries: dict[str, Entry]) -> list[str]:
    return [
        name
        for name, entry in entries.items()
        if posixpath.basename(name) in _RUN_FILES or name.endswith(".run.json")
        if entry.num_bytes <= _MAX_FILE_BYTES
    ]


def _data_prefix(name: str) -> str:
    """Returns the path of the data set that a reject file belongs to, "" or with a slash."""
    return name[: name.index("outcome=reject/")]


def _count_rejects(uri: str, names: list[str]) -> dict[str, Any]:
    """Counts the rejects of the first files by stage and reason, with some ids of each."""
    counts: Counter[str] = Counter()
    examples: dict[str, list[str]] = {}
    for name in names[:_MAX_REJECT_FILES]:
        with open_file(join_uri(uri, name)) as file:
            # Only these columns: thumbnails show people, and must not enter a bundle.
            table = pq.ParquetFile(file).read(columns=["face_id", "stage", "reason"])
        for row in table.to_pylist():
            key = f"{row['stage']}, {row['reason']}"
            counts[key] += 1
            if len(ids := examples.setdefault(key, [])) < _MAX_EXAMPLES:
                ids.append(row["face_id"])
    read = f"{min(len(names), _MAX_REJECT_FILES)} of {len(names)}"
    return {"files read": read, "counts": dict(counts.most_common()), "examples": examples}


def run_ids(uri: str) -> list[str]:
    """Returns the ids of the runs at ``uri``, as in their log lines; MLflow runs come first."""
    entries = list_entries(uri)
    ids: dict[str, None] = {}
    files = _find_run_files(entries)
    for name in sorted(files, key=lambda name: not name.endswith(("round.json", ".run.json"))):
        try:
            run_id = json.loads(read_bytes(join_uri(uri, name))).get("run_id")
        except (ValueError, AttributeError):
            continue
        if isinstance(run_id, str) and run_id:
            ids[run_id] = None
    return list(ids)
