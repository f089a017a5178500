"""Outputs of rayboot's runs below an input, whose crops and textures are no photos of the user."""

from collections.abc import Mapping, Sequence
from typing import TypeVar

from rayboot.counts import describe_count
from rayboot.data.readers.packed import INDEX_NAME

__all__ = ["RUN_LISTING", "describe_outputs", "without_outputs"]

_T = TypeVar("_T")

RUN_LISTING = "_run/listing.parquet"
"""The photos of a run, one row each. Every output of a run that lists photos contains it; a data
set of synthetic photos, which are an input, does not."""

_BOOKKEEPING = ("_run/", "manifests/")
"""Folders of an output that contain no photos in any case."""

_NUM_EXAMPLES = 3


def without_outputs(entries: Mapping[str, _T]) -> tuple[Mapping[str, _T], list[str]]:
    """Leaves out the files of runs; packed photos, which are an input, stay.

    Args:
        entries: Values by the paths of files relative to an input.

    Returns:
        The other files, and the folders that were left out, relative to the input; the input
        itself is an empty path.
    """
    end = f"/{RUN_LISTING}"
    listings = [name for name in entries if name == RUN_LISTING or name.endswith(end)]
    if not listings:
        return entries, []
    folders = [name.removesuffix(RUN_LISTING) for name in listings]
    outputs = [folder for folder in folders if f"{folder}{INDEX_NAME}" not in entries]
    left_out = (
        *(folder for folder in outputs if folder),
        *(f"{folder}{name}" for folder in folders for name in _BOOKKEEPING),
    )
    is_written_here = "" in outputs

    def is_kept(name: str) -> bool:
        # Version 0.1 accepted its input as output, so that photos may lie among the rows.
        is_table = is_written_here and name.endswith(".parquet")
        return not name.startswith(left_out) and not is_table

    kept = {name: entry for name, entry in entries.items() if is_kept(name)}
    return kept, [folder.rstrip("/") for folder in outputs]


def describe_outputs(folders: Sequence[str]) -> str:
    """Returns a sentence on outputs of runs that are not read; empty for none.

    Args:
        folders: Their paths relative to the input.
    """
    if not folders:
        return ""
    outputs = describe_count(
        len(folders),
        "folder",
        "is the output of a run and is not read",
        "are outputs of runs and are not read",
    )
    examples = ", ".join(folder or "the input itself" for folder in folders[:_NUM_EXAMPLES])
    more = ", ..." if len(folders) > _NUM_EXAMPLES else ""
    return (
        f"{outputs} ({examples}{more}); of what runs write, only finished sets of `rayboot pack` "
        "and `rayboot synthesize` are photos"
    )
