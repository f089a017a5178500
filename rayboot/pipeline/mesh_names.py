"""Names of mesh files: readable, no two the same, and short enough for every file system.

A mesh is named as its photo without the suffix. Where two photos of a run would have one name, on
file systems that ignore case as well, the suffix is added, and where that is not enough, a hash.
"""

import hashlib
import posixpath
import unicodedata
from collections import Counter
from collections.abc import Sequence

__all__ = ["assign_mesh_names", "face_mesh_name"]

_MAX_COMPONENT_BYTES = 180
"""Longest name of a folder or mesh, in UTF-8; file systems allow 255, of which the number of
the face, the suffix and the names of temporary files need some."""

_MAX_PATH_BYTES = 700
"""Longest path below the output; S3 allows keys of 1024 bytes."""

_HASH_DIGITS = 10
_MESH_SUFFIXES = (".ply", ".glb", ".obj", ".mtl")


def assign_mesh_names(face_ids: Sequence[str], taken: Sequence[str] = ()) -> list[str]:
    """Returns the path of each photo's mesh below the output, without the mesh's suffix.

    Args:
        face_ids: Unique names of the photos of one run. Names that lead out of the output are
            left as they are, and have to be refused by who writes.
        taken: Paths of meshes that other photos have already.
    """
    levels = [0] * len(face_ids)
    used = {_case_key(name) for name in taken}
    while True:
        names = [_name(face_id, level) for face_id, level in zip(face_ids, levels, strict=True)]
        keys = [_case_key(name) for name in names]
        counts = Counter(keys)
        repeated = [
            index
            for index, key in enumerate(keys)
            if (counts[key] > 1 or key in used) and levels[index] < _HASHED
        ]
        if not repeated:
            return names
        for index in repeated:
            levels[index] += 1


def face_mesh_name(mesh_name: str, number: int) -> str:
    """Returns the path of the mesh of one face, where all faces of a photo have a mesh.

    No two are the same if every mesh of the run is named so, also those of photos of one face.

    Args:
        mesh_name: Path of the photo's mesh, from :func:`assign_mesh_names`.
        number: Number of the face in the photo, from 1.
    """
    return f"{mesh_name}-{number}"


_HASHED = 2
"""Level of a name with a hash; 0 is the plain stem, 1 the stem with the photo's suffix."""


def _name(face_id: str, level: int) -> str:
    stem, suffix = posixpath.splitext(face_id)
    name = f"{stem}_{suffix[1:]}" if level and suffix else stem
    # Bytes that are no UTF-8 were escaped with a backslash, which some systems use as a slash.
    *folders, file = name.replace("\\", "_").split("/")
    if level == _HASHED:
        file = f"{_cut(file)}-{_hash(face_id)}"
    path = "/".join([*map(_folder_name, folders), _bound(file)])
    if len(path.encode()) > _MAX_PATH_BYTES:
        return f"{_cut(file)}-{_hash(face_id)}"
    return path


def _folder_name(folder: str) -> str:
    # A folder a.glb would be in the way of the mesh of a.jpg.
    in_the_way = folder.lower().endswith(_MESH_SUFFIXES)
    return _bound(f"{folder}_" if in_the_way else folder)


def _bound(name: str) -> str:
    if len(name.encode()) <= _MAX_COMPONENT_BYTES:
        return name
    return f"{_cut(name)}-{_hash(name)}"


def _cut(name: str) -> str:
    """Returns the beginning of a name that leaves room for a hash."""
    room = _MAX_COMPONENT_BYTES - _HASH_DIGITS - 1
    return name.encode()[:room].decode("utf-8", "ignore")


def _hash(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:_HASH_DIGITS]


def _case_key(name: str) -> str:
    """Returns what file systems that ignore case and Unicode normalisation compare."""
    if not name.isascii():
        name = unicodedata.normalize("NFC", name)
    return posixpath.normpath(name.casefold())
