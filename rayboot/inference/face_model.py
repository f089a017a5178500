"""Photos to faces with one call: any model, in this process, without Ray and OpenGL."""

import os
import threading
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, NamedTuple, overload

import numpy as np

from rayboot.data.detector import FaceDetector, crop_from_detection
from rayboot.errors import DegenerateInputError, FaceRejectedError, RequestError
from rayboot.geometry.crop import warp_closeup, warp_photo
from rayboot.inference.photos import NamedPhoto, Photo, decode_named, name_photos
from rayboot.inference.reconstruction import Reconstruction
from rayboot.models import HeadRegressor, InferenceConfig, NetworkConfig, load_network
from rayboot.models.default_device import default_device
from rayboot.models.head_regressor import head_landmarks
from rayboot.models.predictor import Predictor
from rayboot.registry.model_names import BUILTIN_BASE
from rayboot.registry.resolve import ResolvedModel, resolve_model

__all__ = ["FaceModel", "load", "reconstruct"]

Faces = Literal["largest", "all"]
Errors = Literal["raise", "return"]

_GPU_BATCH_SIZE = 16
"""Number of crops of a forward pass on a GPU; on a CPU it is one, which is as fast."""

_MAX_LOADED_MODELS = 4


class _Crop(NamedTuple):
    """A face of a photo.

    Attributes:
        image: (S, S, 3) uint8.
        crop_from_photo: (2, 3) float64.
        closeup: (T, T, 3) uint8, the same in the photo's resolution; None if that is no finer.
    """

    image: np.ndarray
    crop_from_photo: np.ndarray
    closeup: np.ndarray | None = None


class FaceModel:
    """A network that is ready to reconstruct faces; :func:`load` returns one.

    Several threads may use it.

    Attributes:
        name: name of the model, an alias replaced by the version that it pointed to.
        config: sizes of the network: ``resolution`` S of its crops, ``slices`` D of its volumes.
    """

    def __init__(self, model: ResolvedModel, device: str | None = None) -> None:
        self.name, self.config = model.uri, model.config
        chosen = device or default_device().type
        network = load_network(model.path, chosen)
        self._is_head = isinstance(network, HeadRegressor)
        batch_size = 1 if chosen == "cpu" else _GPU_BATCH_SIZE
        self._predictor = Predictor(network, InferenceConfig(), batch_size)
        self._detector: FaceDetector | None = None
        self._detector_lock = threading.Lock()

    def __repr__(self) -> str:
        return f"<model {self.name}, crops of {self.config.resolution} px>"

    # A path is a sequence of strings too, but one photo.
    @overload
    def reconstruct(  # type: ignore[overload-overlap]
        self,
        photos: Photo,
        *,
        faces: Literal["largest"] = ...,
        errors: Literal["raise"] = ...,
        detect_faces: bool = ...,
    ) -> Reconstruction: ...

    @overload
    def reconstruct(  # type: ignore[overload-overlap]
        self,
        photos: Photo,
        *,
        faces: Literal["all"],
        errors: Literal["raise"] = ...,
        detect_faces: bool = ...,
    ) -> list[Reconstruction]: ...

    @overload
    def reconstruct(
        self,
        photos: Sequence[Photo],
        *,
        faces: Literal["largest"] = ...,
        errors: Literal["raise"] = ...,
        detect_faces: bool = ...,
    ) -> list[Reconstruction]: ...

    @overload
    def reconstruct(
        self,
        photos: Sequence[Photo],
        *,
        faces: Literal["all"],
        errors: Literal["raise"] = ...,
        detect_faces: bool = ...,
    ) -> list[list[Reconstruction]]: ...

    @overload
    def reconstruct(
        self,
        photos: Photo | Sequence[Photo],
        *,
        faces: Faces = ...,
        errors: Errors = ...,
        detect_faces: bool = ...,
    ) -> Any: ...

    def reconstruct(
        self,
        photos: Photo | Sequence[Photo],
        *,
        faces: Faces = "largest",
        errors: Errors = "raise",
        detect_faces: bool = True,
    ) -> Any:
        """Reconstructs the faces of photos; see :func:`reconstruct`, which has no model of its own.

        Raises:
            RequestError, ShapeError, FaceRejectedError, DegenerateInputError: as there.
        """
        _require_choice("faces", faces, ("largest", "all"))
        _require_choice("errors", errors, ("raise", "return"))
        results: list[Any] = []
        for named in name_photos(photos):
            try:
                crops = self._crop(named, faces, detect_faces)
                results.append(self._reconstruct_crops(named.name, crops))
            except (FaceRejectedError, DegenerateInputError) as error:
                if errors == "raise":
                    raise
                results.append(error)
        if faces == "largest":
            results = [one if isinstance(one, Exception) else one[0] for one in results]
        return results if isinstance(photos, list | tuple) else results[0]

    def _crop(self, named: NamedPhoto, faces: Faces, detect_faces: bool) -> list[_Crop]:
        """Returns the crop of the largest face of a photo, or of all of them."""
        photo, size = decode_named(named), self.config.resolution
        if not detect_faces:
            if photo.shape[:2] != (size, size):
                raise RequestError(
                    f"{named.name}: with detect_faces=False a photo is a crop of {size} x {size} "
                    f"px, as {self.name} reads it; got {photo.shape[1]} x {photo.shape[0]} px"
                )
            return [_Crop(photo, np.eye(2, 3))]
        with self._detector_lock:
            self._detector = self._detector or FaceDetector()
            try:
                detections = self._detector.detect(photo)
            except FaceRejectedError as error:
                raise _name_rejection(error, named.name) from error
        chosen = detections if faces == "all" else detections[:1]
        affines = [crop_from_detection(detection, size) for detection in chosen]
        return [
            _Crop(warp_photo(photo, affine, size), affine, warp_closeup(photo, affine, size))
            for affine in affines
        ]

    def _reconstruct_crops(self, name: str, crops: list[_Crop]) -> list[Reconstruction]:
        images = np.stack([crop.image for crop in crops])
        volumes, targets = self._predictor.predict_with_targets(images)
        results = []
        for crop, volume, target in zip(crops, volumes, targets, strict=True):
            if volume.max() < 0.5:
                raise DegenerateInputError(
                    f"{name}: {self.name} predicts no shape; give another photo or model"
                )
            landmarks = head_landmarks(target) if self._is_head and target is not None else None
            # A view of the batch would keep the volumes of all faces in memory.
            own = volume if len(crops) == 1 else volume.copy()
            image, affine, closeup = crop
            results.append(Reconstruction(name, self.name, image, affine, own, landmarks, closeup))
        return results


def _name_rejection(error: FaceRejectedError, name: str) -> FaceRejectedError:
    if error.reason != "no-face":
        return FaceRejectedError(error.stage, error.reason, f"{name}: {error.message}")
    # The detector's own sentence is for data sets, whose photos may have landmark files.
    return FaceRejectedError(
        error.stage,
        error.reason,
        f"{name}: the detector finds no face in the photo; give one whose face is larger, sharper "
        "or less covered, or a crop of the face with detect_faces=False",
    )


def _require_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise RequestError(f"{name} must be one of {', '.join(choices)}, got {value!r}")


def load(
    model: str | os.PathLike[str] = BUILTIN_BASE,
    *,
    device: str | None = None,
    tracking_uri: str | None = None,
) -> FaceModel:
    """Returns a model that is ready to reconstruct faces; a process loads each only once.

    Args:
        model: ``builtin:base`` or another built-in name, a weights file, ``models:/NAME/VERSION``
            or ``models:/NAME@ALIAS``. An alias is looked up at every call.
        device: device of PyTorch; by default the first GPU, else the CPU.
        tracking_uri: MLflow store of ``models:/...``; by default MLflow's own setting. The
            environment's ``MLFLOW_REGISTRY_URI`` names a registry apart from it.

    Raises:
        RequestError: there is no such model, or the file holds no weights of a network.
        WeightsError: the weights cannot be read.
    """
    resolved = resolve_model(os.fspath(model), tracking_uri)
    return _load(resolved.uri, resolved.path, resolved.sha256, resolved.config, device)


@lru_cache(_MAX_LOADED_MODELS)
def _load(
    uri: str, path: Path, sha256: str, config: NetworkConfig, device: str | None
) -> FaceModel:
    return FaceModel(ResolvedModel(uri, path, sha256, config), device)


# A path is a sequence of strings too, but one photo.
@overload
def reconstruct(  # type: ignore[overload-overlap]
    photos: Photo,
    model: str | os.PathLike[str] = ...,
    *,
    faces: Literal["largest"] = ...,
    errors: Literal["raise"] = ...,
    detect_faces: bool = ...,
) -> Reconstruction: ...


@overload
def reconstruct(  # type: ignore[overload-overlap]
    photos: Photo,
    model: str | os.PathLike[str] = ...,
    *,
    faces: Literal["all"],
    errors: Literal["raise"] = ...,
    detect_faces: bool = ...,
) -> list[Reconstruction]: ...


@overload
def reconstruct(
    photos: Sequence[Photo],
    model: str | os.PathLike[str] = ...,
    *,
    faces: Literal["largest"] = ...,
    errors: Literal["raise"] = ...,
    detect_faces: bool = ...,
) -> list[Reconstruction]: ...


@overload
def reconstruct(
    photos: Sequence[Photo],
    model: str | os.PathLike[str] = ...,
    *,
    faces: Literal["all"],
    errors: Literal["raise"] = ...,
    detect_faces: bool = ...,
) -> list[list[Reconstruction]]: ...


@overload
def reconstruct(
    photos: Photo | Sequence[Photo],
    model: str | os.PathLike[str] = ...,
    *,
    faces: Faces = ...,
    errors: Errors = ...,
    detect_faces: bool = ...,
) -> Any: ...


def reconstruct(
    photos: Photo | Sequence[Photo],
    model: str | os.PathLike[str] = BUILTIN_BASE,
    *,
    faces: Faces = "largest",
    errors: Errors = "raise",
    detect_faces: bool = True,
) -> Any:
    """Reconstructs the 3D faces of photos, in this process, without Ray and OpenGL.

    The faces are found by a detector. A photo's result does not depend on the
    other photos of a list.

    Args:
        photos: a photo or a list of photos, each a path or URI, the bytes of an image file, an
            array (H, W, 3) uint8 RGB, or a PIL image. Files and PIL images are turned upright and
            converted to sRGB as their EXIF and colour profile say.
        model: as :func:`load` takes it.
        faces: ``largest``, or ``all`` for those of every person, the largest first.
        errors: what becomes of a photo that cannot be reconstructed: ``raise`` raises its error,
            ``return`` returns the error in its place, so that the others are not lost.
        detect_faces: whether the face is found in the photo; otherwise each photo is a crop of the
            size that the network reads.

    Returns:
        A :class:`Reconstruction`; with ``faces="all"`` a list of them; for a list of photos the
        list of these, in their order.

    Raises:
        FaceRejectedError: a photo, which the message names, does not exist, cannot be decoded or
            shows no face.
        DegenerateInputError: the network predicts no shape.
        ShapeError: an array is not (H, W, 3) uint8.
        RequestError: a photo is of another type, there is no such model, or the face detector is
            not installed.
    """
    return load(model).reconstruct(photos, faces=faces, errors=errors, detect_faces=detect_faces)
