"""LS3D-W's re-annotation of AFLW2000-3D: 68 new landmarks for each photo.

Two layouts are read: 3DDFA's array ``*.pts68.npy`` (N, 2, 68), whose rows belong to the lines of a
``*.list`` of photos, and LS3D-W's tensor ``imageNNNNN.t7`` for each photo. Pixels count from 0.
"""

import io
import posixpath
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from rayboot.data.landmarks import read_landmarks
from rayboot.errors import FaceRejectedError, RequestError
from rayboot.evaluate.datasets.face_files import read_face_file
from rayboot.io.retry import retry_io
from rayboot.io.storage import join_uri, list_files, read_bytes

__all__ = ["Reannotation", "load_reannotation"]

_ARRAY, _LIST, _TENSOR = ".pts68.npy", ".list", ".t7"


class Reannotation(NamedTuple):
    """Landmarks by the photo's name without folder and suffix.

    Attributes:
        points: (68, 2) float64, column and row, of photos whose landmarks are in one array.
        files: URIs of the ``.t7`` files, where each photo has its own.
    """

    points: dict[str, np.ndarray]
    files: dict[str, str]

    def contains(self, face_id: str) -> bool:
        """Whether there are landmarks of a photo."""
        return _stem(face_id) in self.points or _stem(face_id) in self.files

    def read_landmarks(self, face_id: str, photo: np.ndarray) -> np.ndarray:
        """Returns the landmarks (68, 2) float64 px of a photo that it contains.

        Raises:
            FaceRejectedError: The file is damaged, or of another photo (stage ``landmarks``).
        """
        stem = _stem(face_id)
        if stem in self.points:
            points = self.points[stem]
            if not np.isfinite(points).all():
                raise FaceRejectedError(
                    "landmarks", "not-finite", f"{face_id}: a re-annotated landmark is not finite"
                )
            return points
        uri = self.files[stem]
        try:
            return read_landmarks(read_face_file(uri), _TENSOR, photo.shape[1::-1])
        except FaceRejectedError as error:
            raise FaceRejectedError(error.stage, error.reason, f"{uri}: {error.message}") from error


@lru_cache(maxsize=2)
def load_reannotation(uri: str) -> Reannotation:
    """Loads the re-annotation in a folder; the process caches it.

    Raises:
        RequestError: The folder has none or more than one, or its array and list do not match.
    """
    names = list_files(uri)
    arrays = [name for name in names if name.endswith(_ARRAY)]
    lists = [name for name in names if name.endswith(_LIST)]
    tensors = [name for name in names if name.endswith(_TENSOR)]
    if tensors and not arrays:
        return Reannotation({}, {_stem(name): join_uri(uri, name) for name in tensors})
    if len(arrays) != 1 or len(lists) != 1:
        found = ", ".join(arrays + lists) or "none of these"
        raise RequestError(
            f"reannotation {uri}: expected one *{_ARRAY} and one *{_LIST}, or imageNNNNN{_TENSOR} "
            f"files, got {found}"
        )
    return Reannotation(_read_array(join_uri(uri, arrays[0]), join_uri(uri, lists[0])), {})


def _read_array(array_uri: str, list_uri: str) -> dict[str, np.ndarray]:
    payload = retry_io(lambda: read_bytes(array_uri), array_uri)
    try:
        points = np.asarray(np.load(io.BytesIO(payload), allow_pickle=False), np.float64)
        text = retry_io(lambda: read_bytes(list_uri), list_uri).decode("utf-8-sig")
    except ValueError as error:
        raise RequestError(f"reannotation {array_uri}: damaged ({error})") from error
    stems = [_stem(line.strip()) for line in text.splitlines() if line.strip()]
    if points.shape == (len(points), 2, 68):
        points = points.transpose(0, 2, 1)
    if points.shape != (len(stems), 68, 2) or len(set(stems)) != len(stems):
        raise RequestError(
            f"reannotation {array_uri}: expected ({len(stems)}, 2, 68) for the lines of "
            f"{list_uri}, each a different photo, got {points.shape} and {len(set(stems))} photos"
        )
    return dict(zip(stems, points, strict=True))


def _stem(name: str) -> str:
    return posixpath.splitext(posixpath.basename(name))[0]
