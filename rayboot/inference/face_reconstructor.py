"""Photos to shapes in one process: what a registered model answers with.

Needs neither Ray nor OpenGL, and PyTorch for the CPU will do.
"""

from pathlib import Path
from typing import Literal

import numpy as np

from rayboot.data.mesh_files import encode_mesh
from rayboot.errors import RequestError, ShapeError
from rayboot.geometry.crop import warp_photo
from rayboot.geometry.isosurface import extract_surface
from rayboot.geometry.volume import keep_largest_component
from rayboot.models import InferenceConfig, load_network
from rayboot.models.predictor import Predictor
from rayboot.render.texturing import color_vertices

__all__ = ["OUTPUTS", "FaceReconstructor", "Output"]

Output = Literal["occupancy", "glb", "ply"]
OUTPUTS: tuple[Output, ...] = ("occupancy", "glb", "ply")

_AT_ONCE = 16


class FaceReconstructor:
    """A network with everything from a photo to a mesh file.

    Args:
        weights: safetensors file of a network of any kind.
    """

    def __init__(self, weights: str | Path) -> None:
        self._network = load_network(weights)
        self._size = self._network.config.resolution

    def reconstruct(
        self, photos: np.ndarray, output: Output = "occupancy"
    ) -> np.ndarray | list[bytes]:
        """Shapes of the largest face of each photo.

        Args:
            photos: (B, H, W, 3) uint8 RGB. Those of the network's own size (S, S, 3) are taken
                for crops already; in others the face is found first (extra ``detect``).
            output: ``occupancy``, or the bytes of a coloured mesh file, ``glb`` or ``ply``.

        Returns:
            Occupancy (B, D, S, S) float32 in [0, 1], or a list of B files, vertices in px of
            the crop, frame as in :mod:`rayboot.geometry.camera`.

        Raises:
            ShapeError: the photos have another shape or dtype.
            RequestError: there is no such output, or photos need the extra that finds faces.
            FaceRejectedError: a photo shows no face.
            DegenerateInputError: the network saw no shape in a photo.
        """
        if output not in OUTPUTS:
            raise RequestError(f"output must be one of {', '.join(OUTPUTS)}, got {output!r}")
        if photos.ndim != 4 or photos.shape[-1] != 3 or photos.dtype != np.uint8:
            raise ShapeError(
                f"photos must be uint8 RGB (B, H, W, 3), got {photos.dtype} {photos.shape}"
            )
        crops = self._crop(photos)
        batch_size = max(1, min(len(crops), _AT_ONCE))
        occupancy = Predictor(self._network, InferenceConfig(), batch_size).predict(crops)
        if output == "occupancy":
            return occupancy
        pairs = zip(crops, occupancy, strict=True)
        return [mesh_file(crop, volume, output) for crop, volume in pairs]

    def _crop(self, photos: np.ndarray) -> np.ndarray:
        size = self._size
        if photos.shape[1:3] == (size, size):
            return photos
        # OpenCV's networks load here; crops do without.
        from rayboot.data.detector import FaceDetector, crop_from_detection

        detector = FaceDetector()
        crops = [
            warp_photo(photo, crop_from_detection(detector.detect(photo)[0], size), size)
            for photo in photos
        ]
        return np.stack(crops) if crops else np.zeros((0, size, size, 3), np.uint8)


def mesh_file(crop: np.ndarray, volume: np.ndarray, kind: Literal["glb", "ply"]) -> bytes:
    """The mesh of a volume (D, S, S), coloured by its crop (S, S, 3), as a file's bytes."""
    mesh = extract_surface(keep_largest_component(volume))
    # Any pose may come here, so no plane of symmetry is asked for.
    return encode_mesh(color_vertices(mesh, crop, None, "mirrored"), kind)
