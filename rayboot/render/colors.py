"""The photo's colours on the vertices of a reconstructed solid.

The paper's plain projection gives every vertex the pixel it falls on, seen or
not: features bleed onto the sides and a second mouth shows on the cheek. By
default a vertex that the camera did not see takes its mirror image's colour
through the plane of symmetry, in the light of its own side, or, where that was
hidden too, its nearest seen neighbour's.
"""

from typing import Literal

import cv2
import numpy as np
from scipy.spatial import cKDTree

from rayboot.geometry.camera import pixel_from_crop
from rayboot.geometry.mesh import Mesh
from rayboot.geometry.pose import FacePose
from rayboot.geometry.surface import vertex_normals
from rayboot.render.silhouette import distance_inside

__all__ = ["ColorMode", "paint_mesh", "project_colors", "visible_vertices"]

ColorMode = Literal["mirrored", "projected"]

_DEPTH_TOLERANCE = 1.5
_MIN_FACING = 0.25
"""A vertex counts as seen where its normal is within 75 degrees of the camera;
more oblique ones show a streak of the silhouette's mixed colours."""

_MIRROR_REACH = 2.5
"""A mirror image counts as found within this distance, px of a 96 px crop."""

_LIGHT_NEIGHBOURS = 24
"""Vertices whose median is the ratio of light: light is smooth, features are not."""

_SEEN_REACH = 1.5
"""A vertex this near (px) to a seen one keeps its own pixel: single steep vertices
amid a seen region would else stand out as speckles of the other side's light."""

_RIM = 3.0
"""Within this distance of the outline (px of a 96 px crop) a pixel may show the background,
where the network drew the face too wide. No other vertex takes its colour from there."""

_OUTERMOST = 1.0
"""Within this distance a pixel is always part background."""

_FOREIGN = 36
"""A pixel of the rim that differs by more (of 255, in any channel) from the face beside
it is background."""

_BLENDED = 8
"""Vertices that a hidden one's colour is the mean of; the nearest alone leaves patches."""


_LINE = 1024

_NEARLY = 0.1
"""By this share the neighbours found may be farther than the nearest: three times as fast."""


def paint_mesh(mesh: Mesh, photo: np.ndarray, pose: FacePose | None, mode: ColorMode) -> Mesh:
    """The mesh with the photo's colours.

    Args:
        mesh: in the frame of the crop.
        photo: (S, S, 3) uint8 crop.
        pose: of the mesh; its symmetry plane mirrors. None where it is not known: what
            was hidden then takes the colours of its nearest seen neighbours.
        mode: ``mirrored``, or the paper's ``projected``.
    """
    size = photo.shape[0]
    colors = project_colors(mesh.vertices, photo)
    if mode == "projected":
        return mesh._replace(colors=colors)
    seen = visible_vertices(mesh, size)
    inside = distance_inside(mesh.vertices, size) * 96 / size
    donors = np.flatnonzero(seen & (inside > _RIM))
    if len(donors) < _BLENDED:
        return mesh._replace(colors=colors)
    tree, donor_colors = cKDTree(mesh.vertices[donors]), colors[donors].astype(np.float64)
    others = np.setdiff1d(np.arange(len(colors)), donors, assume_unique=True)
    gap, neighbour = tree.query(mesh.vertices[others], k=_BLENDED, eps=_NEARLY)
    found = _blend(gap, neighbour, donor_colors)
    foreign = (np.abs(found - colors[others]) > _FOREIGN).any(axis=1)
    own = _has_own_pixel(mesh.vertices, seen, others) & (
        (inside[others] > _RIM) | ((inside[others] > _OUTERMOST) & ~foreign)
    )
    hidden, found, neighbour = others[~own], found[~own], neighbour[~own]
    if pose is not None:
        reach = _MIRROR_REACH * size / 96
        images = _mirror(mesh.vertices[hidden], pose)
        gap, mirrored = tree.query(images, k=3, distance_upper_bound=reach)
        has_mirror = np.isfinite(gap[:, 0])
        light = _light_of_this_side(tree, donor_colors, pose, reach, neighbour[has_mirror, 0])
        found[has_mirror] = light * _blend(gap[has_mirror], mirrored[has_mirror], donor_colors)
    colors[hidden] = np.rint(np.clip(found, 0, 255)).astype(np.uint8)
    return mesh._replace(colors=colors)


def _has_own_pixel(vertices: np.ndarray, seen: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Which of ``chosen`` were seen, or lie beside one that was."""
    gap, _ = cKDTree(vertices[seen]).query(vertices[chosen], distance_upper_bound=_SEEN_REACH)
    return np.isfinite(gap)


def _blend(gap: np.ndarray, neighbour: np.ndarray, colors: np.ndarray) -> np.ndarray:
    """Mean (H, 3) of the neighbours' (H, K) colours, the nearer the heavier; inf is none."""
    weight = 1.0 / (gap + 0.5)
    weight /= weight.sum(axis=1, keepdims=True)
    return np.einsum("hk,hkc->hc", weight, colors[np.minimum(neighbour, len(colors) - 1)])


def _light_of_this_side(
    tree: cKDTree, colors: np.ndarray, pose: FacePose, reach: float, neighbour: np.ndarray
) -> np.ndarray:
    """By how much this side is brighter than its mirror image, (H, 3), near each hidden vertex.

    The other cheek has the right features and the wrong light: without this a lit
    patch with a hard edge stands on the dark side of the face.
    """
    rim, of_hidden = np.unique(neighbour, return_inverse=True)
    gap, donor = tree.query(_mirror(tree.data[rim], pose), distance_upper_bound=reach)
    found = np.isfinite(gap)
    if not found.any():
        return np.ones((len(neighbour), 3))
    # An offset, so that black does not divide.
    here, there = colors[rim[found]] + 10.0, colors[donor[found]] + 10.0
    ratio = np.log(here / there)
    rim_tree = cKDTree(tree.data[rim[found]])
    count = min(_LIGHT_NEIGHBOURS, len(ratio))
    _, around = rim_tree.query(tree.data[rim], k=[*range(1, count + 1)])
    return np.exp(np.clip(np.median(ratio[around], axis=1), -1.5, 1.5))[of_hidden]


def _mirror(points: np.ndarray, pose: FacePose) -> np.ndarray:
    offset = points - pose.centroid
    return points - 2 * np.outer(offset @ pose.symmetry_normal, pose.symmetry_normal)


def project_colors(vertices: np.ndarray, photo: np.ndarray) -> np.ndarray:
    """The photo's colour (N, 3) uint8 at each vertex's x, y, bilinearly."""
    size = photo.shape[0]
    pixels = pixel_from_crop(vertices, size, size).astype(np.float32)
    # In lines of a picture: OpenCV takes no more than 32,767 rows, a full-size mesh has 73,000.
    lines = np.resize(pixels, (-(-len(pixels) // _LINE), _LINE, 2))
    colors = cv2.remap(
        photo,
        np.ascontiguousarray(lines[..., 0]),
        np.ascontiguousarray(lines[..., 1]),
        interpolation=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return colors.reshape(-1, 3)[: len(pixels)]


def visible_vertices(mesh: Mesh, size: int) -> np.ndarray:
    """Vertices (N,) bool that the camera of the crop saw at a useful angle."""
    pixels = np.rint(pixel_from_crop(mesh.vertices, size, size)).astype(int)
    inside = ((pixels >= 0) & (pixels < size)).all(axis=1)
    columns, rows = np.clip(pixels, 0, size - 1).T
    front = np.full((size, size), -np.inf)
    np.maximum.at(front, (rows, columns), mesh.vertices[:, 2])
    facing = vertex_normals(mesh.vertices, mesh.faces)[:, 2] > _MIN_FACING
    return inside & facing & (mesh.vertices[:, 2] > front[rows, columns] - _DEPTH_TOLERANCE)
