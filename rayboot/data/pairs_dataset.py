"""A pairs data set for PyTorch's DataLoader, without Ray: people's own networks in their own loops.

The index is in memory: some tens of bytes a view. Faces are read when one of their views is asked
for, and files that were read last are kept, encoded, up to a number of bytes in each process.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch.utils.data import Dataset

from rayboot.data.images import decode_photo
from rayboot.data.manifest import require_finished
from rayboot.data.pair_targets import PairTarget, make_target_maker
from rayboot.data.row_index import index_rows
from rayboot.data.splits import Split
from rayboot.errors import RequestError
from rayboot.io.parquet import read_table
from rayboot.io.retry import retry_io
from rayboot.io.storage import join_uri, list_files

__all__ = ["PairsDataset", "View"]

_INDEX_COLUMNS = (
    "face_id",
    "split",
    "target_kind",
    "shape",
    "views.list.element.yaw_deg",
    "views.list.element.pitch_deg",
)
_SOURCE = -1
"""Number of the "view" that is the face's unrotated photo."""

Transform = Callable[[dict[str, Any]], Any]


class View(NamedTuple):
    """An image of a pairs data set, not yet decoded.

    Attributes:
        face: row of the face, as the data set stores it.
        image: bytes of the image file.
        transform: (3, 4) float64 from the frame of the face's photo to the view's; None for the
            photo itself.
        yaw_deg, pitch_deg: the rotation that was applied.
        gaze: (3,) direction that the face looks in; NaN where it is not known.
    """

    face: Mapping[str, Any]
    image: bytes
    transform: np.ndarray | None
    yaw_deg: float
    pitch_deg: float
    gaze: np.ndarray


class PairsDataset(Dataset[Any]):
    """The views of a finished pairs data set, each an image and the shape that it shows.

    A sample is a dict, which PyTorch's default ``collate_fn`` can batch:

    - ``image``: (3, S, S) RGB, float32 in [0, 1] or uint8.
    - ``target``: see :data:`~rayboot.data.pair_targets.PairTarget`.
    - ``yaw_deg`` and ``pitch_deg``: the rotation that was applied.
    - ``gaze``: (3,) float32, direction that the face looks in.
    - ``transform``: (3, 4) float32, from the frame of the photo to the view's, px.
    - ``is_source``: whether the image is the unrotated photo.
    - ``face_id``: name of the photo.

    The order is that of the faces' names, whatever files hold them. A data set can be pickled, so
    workers of a DataLoader may be started in any way.

    Args:
        uri: URI of the data set, as ``rayboot generate`` wrote it.
        split: ``train`` or ``val``; None reads both.
        target: kind of the targets; None makes none.
        transform: function from a sample to what the DataLoader gets, for augmentation.
        include_source: whether each face's unrotated photo is a sample as well, after its views.
        image_dtype: ``torch.float32`` or ``torch.uint8``.
        cache_bytes: size of the files that each process keeps in memory.

    Raises:
        UnfinishedDataError: the data set has no ``manifest.json``.
        RequestError: it has no face of the split, or none of its faces has such a target.
        StoreError: the store stays unavailable.
    """

    def __init__(
        self,
        uri: str,
        split: Split | None = None,
        *,
        target: PairTarget | None = "occupancy",
        transform: Transform | None = None,
        include_source: bool = False,
        image_dtype: torch.dtype = torch.float32,
        cache_bytes: int = 2**29,
    ) -> None:
        if image_dtype not in (torch.float32, torch.uint8):
            raise RequestError(f"image_dtype must be torch.float32 or uint8, got {image_dtype}")
        self.uri, self.split, self.target = uri, split, target
        self._transform, self._image_dtype = transform, image_dtype
        self._maker = None if target is None else make_target_maker(target)
        index = _read_index(uri, split)
        self._require_target(index)
        self._files = index["file"].combine_chunks().dictionary_encode()
        self._rows = index["row"].to_numpy()
        self.shape: tuple[int, int, int] = tuple(index["shape"][0].as_py())
        """Size (D, S, S) of the volumes; images are S px wide."""
        counts = pc.list_value_length(index["views"]).to_numpy() + include_source
        self._faces = np.repeat(np.arange(len(index)), counts)
        starts = np.repeat(np.cumsum(counts) - counts, counts)
        self._views = np.arange(len(self._faces)) - starts
        if include_source:
            self._views[np.cumsum(counts) - 1] = _SOURCE
        self.yaws_deg, self.pitches_deg = (
            self._spread(index["views"], name) for name in ("yaw_deg", "pitch_deg")
        )
        """(N,) float32, rotation of each sample, which a sampler can weigh by."""
        self.splits = frozenset(index["split"].to_pylist())
        """Splits that the samples are of."""
        self._cache = _FileCache(partial(_read_file, uri, self._columns()), cache_bytes)

    def _require_target(self, index: pa.Table) -> None:
        kinds = set(index["target_kind"].to_pylist())
        if self.target == "head" and kinds != {"head"}:
            raise RequestError(
                f"{self.uri}: has no targets of kind head; it was made by a network that learns "
                f"from {', '.join(sorted(map(str, kinds)))}. Generate pairs with builtin:head"
            )

    def _columns(self) -> list[str]:
        columns = ["face_id", "image", "shape", "gaze", "views"]
        return columns if self._maker is None else [*columns, self._maker.column]

    def _spread(self, views: pa.ChunkedArray, name: str) -> np.ndarray:
        """Returns an angle of every sample (N,) float32; that of a photo is 0."""
        angles = np.zeros(len(self._faces), np.float32)
        flat = pc.list_flatten(views)
        angles[self._views != _SOURCE] = pc.struct_field(flat, name).to_numpy()
        return angles

    def __len__(self) -> int:
        return len(self._faces)

    def __getitem__(self, number: int) -> Any:
        view = self.read_view(number)
        image = torch.from_numpy(decode_photo(view.image)).permute(2, 0, 1).contiguous()
        is_source = view.transform is None
        transform = np.eye(3, 4) if view.transform is None else view.transform
        sample = {
            "image": image if self._image_dtype == torch.uint8 else image.float().div_(255),
            "yaw_deg": view.yaw_deg,
            "pitch_deg": view.pitch_deg,
            "gaze": torch.from_numpy(view.gaze),
            "transform": torch.from_numpy(transform.astype(np.float32)),
            "is_source": is_source,
            "face_id": view.face["face_id"],
        }
        target = self.make_target(view)
        if target is not None:
            sample["target"] = target
        return sample if self._transform is None else self._transform(sample)

    def make_target(self, view: View) -> torch.Tensor | None:
        """Returns the target of a view; None where the data set makes none."""
        return None if self._maker is None else self._maker.make(view.face, view.transform)

    def read_view(self, number: int) -> View:
        """Returns a view with its image still encoded, for those who copy the data set.

        Raises:
            IndexError: there is no such sample.
            RequestError: the face has no target of the kind.
        """
        if not -len(self) <= number < len(self):
            raise IndexError(f"sample {number} of {len(self)}")
        face_number, view_number = int(self._faces[number]), int(self._views[number])
        file = self._files[face_number].as_py()
        (face,) = self._cache.read(file).slice(self._rows[face_number], 1).to_pylist()
        if self._maker is not None and face.get(self._maker.column) is None:
            raise RequestError(
                f"{self.uri}: {face['face_id']} has no {self._maker.column}, from which targets of "
                f"kind {self.target} are made; data sets of schema version 3 have it: generate the "
                "pairs again, or choose target='occupancy'"
            )
        if view_number == _SOURCE:
            return View(face, face["image"], None, 0.0, 0.0, _direction(face["gaze"]))
        view = face["views"][view_number]
        transform = np.reshape(np.asarray(view["transform"], np.float64), (3, 4))
        gaze = _direction(view["view_gaze"])
        return View(face, view["image"], transform, view["yaw_deg"], view["pitch_deg"], gaze)


def _direction(values: list[float] | None) -> np.ndarray:
    return np.full(3, np.nan, np.float32) if values is None else np.array(values, np.float32)


def _read_index(uri: str, split: Split | None) -> pa.Table:
    """Returns the faces of a split in the order of their names; not empty."""
    require_finished(uri)
    files = list_files(uri, "outcome=face")
    if not files:
        raise RequestError(
            f"{uri}: every photo was rejected, so the data set contains no face; its reasons are "
            "in outcome=reject"
        )
    index = index_rows(uri, files, _INDEX_COLUMNS)
    if split is not None:
        index = index.filter(pc.equal(index["split"], split))
    if len(index) == 0:
        raise RequestError(f"{uri}: has no face of the split {split}; give more photos, or None")
    shapes = set(map(tuple, index["shape"].to_pylist()))
    if len(shapes) > 1:
        raise RequestError(f"{uri}: expected volumes of one size, got {sorted(shapes)}")
    return index.combine_chunks()


def _read_file(uri: str, columns: list[str], name: str) -> pa.Table:
    # Columns that the file lacks, as older ones do, are left out and reported where they are used.
    return retry_io(partial(read_table, join_uri(uri, name), columns), uri)


class _FileCache:
    """Tables of the files that were read last, up to a number of bytes.

    Args:
        read: function from a file's name to its table.
        max_bytes: size of the tables that are kept; one is always.
    """

    def __init__(self, read: Callable[[str], pa.Table], max_bytes: int) -> None:
        self._read, self._max_bytes = read, max_bytes
        self._tables: OrderedDict[str, pa.Table] = OrderedDict()

    def read(self, name: str) -> pa.Table:
        """Returns the table of a file."""
        table = self._tables.pop(name, None)
        if table is None:
            table = self._read(name)
        self._tables[name] = table
        while len(self._tables) > 1 and self._num_bytes() > self._max_bytes:
            self._tables.popitem(last=False)
        return table

    def _num_bytes(self) -> int:
        return sum(table.nbytes for table in self._tables.values())

    def __getstate__(self) -> dict[str, Any]:
        # Other processes read their own files.
        return {**self.__dict__, "_tables": OrderedDict()}
