"""Whether two URIs lead to one place, or one of them into the other."""

import os
from pathlib import PurePosixPath

from rayboot.io.storage import locate

__all__ = ["is_inside", "is_same_place"]


def is_same_place(uri: str, other: str) -> bool:
    """Whether two URIs name the same file or folder, local ones whatever links lead there."""
    return _resolve(uri) == _resolve(other)


def is_inside(uri: str, folder: str) -> bool:
    """Whether a file or folder is in a folder, at any depth, or is that folder.

    Local ones are compared whatever links lead there, and also by the path as it is written: a
    listing of the folder follows the links in it.
    """
    (store, path), (folder_store, above) = _resolve(uri), _resolve(folder)
    if store != folder_store:
        return False
    if f"{path}/".startswith(f"{above.rstrip('/')}/"):
        return True
    written = PurePosixPath(locate(uri)[1])
    # Behind a link, ".." leads elsewhere than the path says.
    if store != "file" or ".." in written.parts:
        return False
    return any(os.path.realpath(parent) == above for parent in written.parents)


def _resolve(uri: str) -> tuple[str, str]:
    store, path = locate(uri)
    return store, os.path.realpath(path) if store == "file" else path
