"""From photos to shapes in one process: the predictions of a registered model.

Requires neither Ray nor OpenGL, and runs with PyTorch's CPU build.
"""

from pathlib import Path
from typing import Any, Literal

import numpy as np

from rayboot.data.mesh_files import encode_face_mesh
from rayboot.errors import (
    DegenerateInputError,
    FaceRejectedError,
    RaybootError,
    RequestError,
    ShapeError,
)
from rayboot.geometry.crop import warp_photo
from rayboot.inference.face_mesh import build_face_mesh
from rayboot.models import InferenceConfig, load_network
from rayboot.models.predictor import Predictor

__all__ = ["OUTPUTS", "FaceReconstructor", "Output"]

Output = Literal["occupancy", "glb", "ply"]
OUTPUTS: tuple[Output, ...] = ("occupancy", "glb", "ply")

_MAX_BATCH_SIZE = 16


class FaceReconstructor:
    """A network together with all steps from a photo to a mesh file.

    Args:
        weights: safetensors file of a network of any kind.
    """

    def __init__(self, weights: str | Path) -> None:
        self._network = load_network(weights)
        self._size = self._network.config.resolution

    def reconstruct(
        self, photos: np.ndarray, output: Output = "occupancy"
    ) -> np.ndarray | list[bytes]:
        """Reconstructs the largest face of each photo.

        Args:
            photos: (B, H, W, 3) uint8 RGB. Images of the network's input size (S, S, 3) are
                used as crops; in larger or smaller ones the face is detected first (extra
                ``detect``).
            output: ``occupancy``, or ``glb`` or ``ply`` for the bytes of a coloured mesh file.

        Returns:
            Occupancy (B, D, S, S) float32 in [0, 1], or a list of B files, vertices in px of
            the crop, frame as in :mod:`rayboot.geometry.camera`.

        Raises:
            ShapeError: the photos have another shape or dtype.
            RequestError: the output is unknown, or face detection is not installed.
            FaceRejectedError: a photo, named by its number in the batch, shows no face.
            DegenerateInputError: the network predicts no shape for a photo, likewise named.
        """
        results = self.reconstruct_each(photos, output)
        for result in results:
            if isinstance(result, RaybootError):
                raise result
        if output != "occupancy":
            return results
        shape = (0, self._network.config.slices, self._size, self._size)
        return np.stack(results) if results else np.zeros(shape, np.float32)

    def reconstruct_each(self, photos: np.ndarray, output: Output = "occupancy") -> list[Any]:
        """Reconstructs the largest face of each photo, whatever becomes of the others.

        Args:
            photos: as in :meth:`reconstruct`.
            output: as in :meth:`reconstruct`.

        Returns:
            For each photo its occupancy (D, S, S), or the bytes of its file, or the
            FaceRejectedError or DegenerateInputError that says why it has none.

        Raises:
            ShapeError: the photos have another shape or dtype.
            RequestError: the output is unknown, or face detection is not installed.
        """
        if output not in OUTPUTS:
            raise RequestError(f"output must be one of {', '.join(OUTPUTS)}, got {output!r}")
        if photos.ndim != 4 or photos.shape[-1] != 3 or photos.dtype != np.uint8:
            raise ShapeError(
                f"photos must be uint8 RGB (B, H, W, 3), got {photos.dtype} {photos.shape}"
            )
        crops = self._crop(photos)
        found = [crop for crop in crops if not isinstance(crop, FaceRejectedError)]
        if not found:
            return [*crops]
        batch_size = min(len(found), _MAX_BATCH_SIZE)
        predictor = Predictor(self._network, InferenceConfig(), batch_size)
        volumes = iter(predictor.predict(np.stack(found)))
        results: list[Any] = []
        for number, crop in enumerate(crops):
            if isinstance(crop, FaceRejectedError):
                results.append(crop)
                continue
            volume = next(volumes)
            try:
                results.append(volume if output == "occupancy" else mesh_file(crop, volume, output))
            except DegenerateInputError as error:
                results.append(DegenerateInputError(f"{_name(number, photos)}: {error}"))
        return results

    def _crop(self, photos: np.ndarray) -> list[np.ndarray | FaceRejectedError]:
        """Returns the crop of each photo, or why it has none."""
        size = self._size
        if photos.shape[1:3] == (size, size):
            return [*photos]
        # Imported here because it loads OpenCV's networks, which crops do not need.
        from rayboot.data.detector import FaceDetector, crop_from_detection

        detector = FaceDetector()
        crops: list[np.ndarray | FaceRejectedError] = []
        for number, photo in enumerate(photos):
            try:
                affine = crop_from_detection(detector.detect(photo)[0], size)
                crops.append(warp_photo(photo, affine, size))
            except FaceRejectedError as error:
                message = f"{_name(number, photos)}: {error.message}"
                crops.append(FaceRejectedError(error.stage, error.reason, message))
        return crops


def _name(number: int, photos: np.ndarray) -> str:
    return f"photo {number} of {len(photos)}, counted from 0"


def mesh_file(crop: np.ndarray, volume: np.ndarray, kind: Literal["glb", "ply"]) -> bytes:
    """Encodes the surface of a volume (D, S, S), coloured by its crop (S, S, 3), as a mesh file."""
    return encode_face_mesh(build_face_mesh(volume, crop), kind, crop.shape[0], "pixel")
