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


def paint_mesh(mesh: Mesh, photo: np.ndarray, pose: FacePose | None, mode: ColorMode) -> Mesh:
    """The mesh with the photo's colours.

    Args:
        mesh: in the frame of the crop.
        photo: (S, S, 3) uint8 crop.
        pose: of the mesh; its symmetry plane mirrors. None where it is not known: what
            was hidden then takes its nearest seen neighbour's colour.
        mode: ``mirrored``, or the paper's ``projected``.
    """
    colors = project_colors(mesh.vertices, photo)
    if mode == "projected":
        return mesh._replace(colors=colors)
    seen = visible_vertices(mesh, photo.shape[0])
    if not seen.any() or seen.all():
        return mesh._replace(colors=colors)
    tree, seen_index = cKDTree(mesh.vertices[seen]), np.flatnonzero(seen)
    hidden = np.flatnonzero(~seen)
    gap, neighbour = tree.query(mesh.vertices[hidden])
    far = gap > _SEEN_REACH
    hidden, neighbour = hidden[far], neighbour[far]
    found = colors[seen_index[neighbour]].astype(np.float64)
    if pose is not None:
        donor, has_mirror = _mirrored_donors(tree, mesh.vertices[hidden], pose, photo.shape[0])
        light = _light_of_this_side(tree, colors[seen_index], pose, photo.shape[0], neighbour)
        mirrored = colors[seen_index[donor[has_mirror]]] * light[has_mirror]
        found[has_mirror] = np.clip(mirrored, 0, 255)
    colors[hidden] = np.rint(found).astype(np.uint8)
    return mesh._replace(colors=colors)


def _mirrored_donors(
    tree: cKDTree, points: np.ndarray, pose: FacePose, size: int
) -> tuple[np.ndarray, np.ndarray]:
    """The seen vertex at each point's mirror image, and whether there is one."""
    reach = _MIRROR_REACH * size / 96
    distance, donor = tree.query(_mirror(points, pose), distance_upper_bound=reach)
    found = np.isfinite(distance)
    return np.where(found, donor, 0), found


def _light_of_this_side(
    tree: cKDTree, seen_colors: np.ndarray, pose: FacePose, size: int, neighbour: np.ndarray
) -> np.ndarray:
    """By how much this side is brighter than its mirror image, (H, 3), near each hidden vertex.

    The other cheek has the right features and the wrong light: without this a lit
    patch with a hard edge stands on the dark side of the face.
    """
    rim, of_hidden = np.unique(neighbour, return_inverse=True)
    donor, found = _mirrored_donors(tree, tree.data[rim], pose, size)
    if not found.any():
        return np.ones((len(neighbour), 3))
    # An offset, so that black does not divide.
    here, there = seen_colors[rim[found]] + 10.0, seen_colors[donor[found]] + 10.0
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
    colors = cv2.remap(
        photo,
        np.ascontiguousarray(pixels[:, :1]),
        np.ascontiguousarray(pixels[:, 1:]),
        interpolation=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return colors[:, 0]


def visible_vertices(mesh: Mesh, size: int) -> np.ndarray:
    """Vertices (N,) bool that the camera of the crop saw at a useful angle."""
    pixels = np.rint(pixel_from_crop(mesh.vertices, size, size)).astype(int)
    inside = ((pixels >= 0) & (pixels < size)).all(axis=1)
    columns, rows = np.clip(pixels, 0, size - 1).T
    front = np.full((size, size), -np.inf)
    np.maximum.at(front, (rows, columns), mesh.vertices[:, 2])
    facing = vertex_normals(mesh.vertices, mesh.faces)[:, 2] > _MIN_FACING
    return inside & facing & (mesh.vertices[:, 2] > front[rows, columns] - _DEPTH_TOLERANCE)
