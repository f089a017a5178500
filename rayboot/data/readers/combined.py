"""One listing of a folder in which photos are stored in several layouts."""

from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from rayboot.data.readers.base import PHOTO_SCHEMA, PhotoReader, folder_and_files
from rayboot.errors import RequestError
from rayboot.io.storage import Entry, join_uri

__all__ = ["list_by_readers"]


def list_by_readers(
    uri: str, entries: Mapping[str, Entry], readers: Sequence[PhotoReader]
) -> tuple[pa.Table, list[PhotoReader]]:
    """Lists the photos of all readers that can read some of the files.

    Each file belongs to the first reader that lists a photo of it. A photo that has the name of
    one of an earlier reader, as an unpacked archive has, gets the name of its file before its own.

    Args:
        uri: URI of the data set, or of a single file.
        entries: Its files, by path relative to ``uri``.
        readers: Readers in the order in which they are asked.

    Returns:
        A table of :data:`~rayboot.data.readers.base.PHOTO_SCHEMA`, sorted by ``face_id``, and the
        readers of it. The table of a reader that sorts its photos is not copied.

    Raises:
        RequestError: A reader cannot list a file, or has two photos of one name.
    """
    asked: list[PhotoReader] = []
    tables: list[pa.Table] = []
    for number, reader in enumerate(readers):
        if not reader.can_read(uri, entries):
            continue
        asked.append(reader)
        tables.append(reader.list_photos(uri, entries))
        if not any(other.can_read(uri, entries) for other in readers[number + 1 :]):
            break
        entries = _without_sources(uri, entries, tables[-1])
    photos = tables[0] if len(tables) == 1 else _concat(uri, tables)
    # Most listings are sorted, and a copy of a large one does not fit into memory beside it.
    if not _ascends(photos["face_id"]):
        _require_unique(uri, photos)
        photos = photos.sort_by("face_id")
    return photos, asked


def _concat(uri: str, tables: Sequence[pa.Table]) -> pa.Table:
    photos = PHOTO_SCHEMA.empty_table()
    for table in tables:
        renamed = _with_other_names(uri, table.cast(PHOTO_SCHEMA), photos["face_id"])
        photos = pa.concat_tables([photos, renamed])
    return photos


def _without_sources(uri: str, entries: Mapping[str, Entry], photos: pa.Table) -> dict[str, Entry]:
    """Returns the files that contain none of the photos."""
    sources = set(photos["source_uri"].unique().to_pylist())
    folder, files = folder_and_files(uri, entries)
    return {
        name: entries[name]
        for name, file in zip(entries, files, strict=True)
        if join_uri(folder, file) not in sources
    }


def _ascends(names: pa.ChunkedArray) -> bool:
    """Whether names are sorted, and differ."""
    if len(names) < 2:
        return True
    ascends = pc.less(names.slice(0, len(names) - 1), names.slice(1))
    return bool(pc.all(ascends).as_py())


def _with_other_names(uri: str, photos: pa.Table, known: pa.ChunkedArray) -> pa.Table:
    """Puts the name of their file before the names of photos that are known already.

    The group stays: equal names are most often equal photos.
    """
    is_known = pc.is_in(photos["face_id"], value_set=known)
    if not pc.any(is_known).as_py():
        return photos
    prefix = f"{uri.rstrip('/')}/"
    files = [source.removeprefix(prefix) for source in photos["source_uri"].to_pylist()]
    longer = pc.binary_join_element_wise(pa.array(files, pa.string()), photos["face_id"], "/")
    names = pc.if_else(is_known, longer, photos["face_id"])
    return photos.set_column(photos.schema.get_field_index("face_id"), "face_id", names)


def _require_unique(uri: str, photos: pa.Table) -> None:
    """Raises RequestError where two photos have one name."""
    names = photos["face_id"]
    if len(names.unique()) != len(names):
        counts = names.value_counts().to_pylist()
        repeated = next(pair["values"] for pair in counts if pair["counts"] > 1)
        raise RequestError(
            f"input {uri}: two photos have the name {repeated}; names must differ, so rename one"
        )
