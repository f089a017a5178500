"""One image with the colours of a whole face, for files that know textures alone.

The atlas has three charts, each seen by the camera of the crop: the photo, in its own resolution;
the photo continued over what it hides; and the colours of the face's outline, for the back.
"""

from typing import NamedTuple

import cv2
import numpy as np

from rayboot.geometry.mesh import Mesh
from rayboot.render.photo_charts import chart_photo

__all__ = ["TextureAtlas", "make_face_atlas"]


class TextureAtlas(NamedTuple):
    """The texture of a mesh and where each corner of its triangles is in it.

    Attributes:
        image: (H, W, 3) uint8 sRGB.
        coordinates: (T, 2) float32 in [0, 1], origin at the image's lower left.
        corners: (F, 3) int32, index of the coordinates of each corner.
    """

    image: np.ndarray
    coordinates: np.ndarray
    corners: np.ndarray


def make_face_atlas(mesh: Mesh, crop: np.ndarray, closeup: np.ndarray | None) -> TextureAtlas:
    """Returns the texture of a reconstructed face of any pose.

    Args:
        mesh: mesh in the frame of the crop.
        crop: (S, S, 3) uint8.
        closeup: (T, T, 3) uint8, the crop in a finer resolution, or None.
    """
    charts, size = chart_photo(mesh, crop), crop.shape[0]
    photo = charts.images[0] if closeup is None else _refine(charts.images[0], crop, closeup)
    image, origins = _arrange(photo, charts.images[1:])
    scales = np.array([photo.shape[0] / size, 1, 1])
    # A triangle between charts belongs to the last one, which has a colour at every pixel.
    triangle_chart = charts.chart[mesh.faces].max(axis=1)
    pairs = triangle_chart[:, None] * len(mesh.vertices) + mesh.faces
    used, corners = np.unique(pairs, return_inverse=True)
    chart, vertex = np.divmod(used, len(mesh.vertices))
    # In px from the upper left corner of the chart; half a pixel inside of its edges.
    places = np.clip(charts.pixels[vertex] + 0.5, 0.5, size - 0.5) * scales[chart, None]
    places = (places + origins[chart]) / (image.shape[1], image.shape[0])
    coordinates = (places * (1, -1) + (0, 1)).astype(np.float32)
    return TextureAtlas(image, coordinates, corners.reshape(-1, 3).astype(np.int32))


def _refine(texture: np.ndarray, crop: np.ndarray, closeup: np.ndarray) -> np.ndarray:
    """Returns the texture (S, S, 3) in the resolution of the closeup where it shows the crop."""
    fine_size = closeup.shape[:2]
    # Elsewhere the texture hides what is behind the face.
    kept = (texture == crop).all(axis=-1).astype(np.float32)
    weights = cv2.resize(kept, fine_size, interpolation=cv2.INTER_LINEAR)[..., None]
    coarse = cv2.resize(texture, fine_size, interpolation=cv2.INTER_LINEAR).astype(np.float32)
    blended = weights * closeup + (1 - weights) * coarse
    return np.asarray(np.rint(blended), np.uint8)


def _arrange(photo: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Places the charts in one image; returns it and their upper left corners (3, 2), x and y.

    The other two are next to each other below the photo, whose width may be less than theirs.
    """
    below = np.concatenate([*others], axis=1)
    width = max(photo.shape[1], below.shape[1])
    rows = [
        np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0)), mode="edge")
        for row in (photo, below)
    ]
    top, size = photo.shape[0], others.shape[1]
    return np.concatenate(rows), np.array([[0, 0], [0, top], [size, top]])
