"""From photos to shapes in one process: the predictions of a registered model.

Requires neither Ray nor OpenGL, and runs with PyTorch's CPU build.
"""

from pathlib import Path
from typing import Literal

import numpy as np

from rayboot.data.mesh_files import encode_mesh
from rayboot.errors import RequestError, ShapeError
from rayboot.geometry.crop import warp_photo
from rayboot.geometry.isosurface import extract_solid_surface
from rayboot.models import InferenceConfig, load_network
from rayboot.models.predictor import Predictor
from rayboot.render.texturing import color_vertices

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
            FaceRejectedError: a photo shows no face.
            DegenerateInputError: the network predicts no shape for a photo.
        """
        if output not in OUTPUTS:
            raise RequestError(f"output must be one of {', '.join(OUTPUTS)}, got {output!r}")
        if photos.ndim != 4 or photos.shape[-1] != 3 or photos.dtype != np.uint8:
            raise ShapeError(
                f"photos must be uint8 RGB (B, H, W, 3), got {photos.dtype} {photos.shape}"
            )
        crops = self._crop(photos)
        batch_size = max(1, min(len(crops), _MAX_BATCH_SIZE))
        occupancy = Predictor(self._network, InferenceConfig(), batch_size).predict(crops)
        if output == "occupancy":
            return occupancy
        pairs = zip(crops, occupancy, strict=True)
        return [mesh_file(crop, volume, output) for crop, volume in pairs]

    def _crop(self, photos: np.ndarray) -> np.ndarray:
        size = self._size
        if photos.shape[1:3] == (size, size):
            return photos
        # Imported here because it loads OpenCV's networks, which crops do not need.
        from rayboot.data.detector import FaceDetector, crop_from_detection

        detector = FaceDetector()
        crops = [
            warp_photo(photo, crop_from_detection(detector.detect(photo)[0], size), size)
            for photo in photos
        ]
        return np.stack(crops) if crops else np.zeros((0, size, size, 3), np.uint8)


def mesh_file(crop: np.ndarray, volume: np.ndarray, kind: Literal["glb", "ply"]) -> bytes:
    """Encodes the surface of a volume (D, S, S), coloured by its crop (S, S, 3), as a mesh file."""
    mesh = extract_solid_surface(volume)
    # The face may have any pose, so no symmetry plane is estimated.
    return encode_mesh(color_vertices(mesh, crop, None, "mirrored"), kind)
