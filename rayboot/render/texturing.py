"""The photo's colours on a reconstructed solid.

The paper's plain projection gives every vertex the pixel it falls on, seen or
not: features bleed onto the sides and a second mouth shows on the cheek. By
default what the camera did not see takes its mirror image's colour through the
plane of symmetry, in the light of its own side, or, where that was hidden too,
the nearest seen colours.

Where the photo shows the surface itself or its mirror image, the mesh carries the
photo as a texture: a mesh thinner than the photo then loses nothing of it.
"""

from typing import Literal, NamedTuple, assert_never

import cv2
import numpy as np

from rayboot.geometry.camera import pixel_from_crop
from rayboot.geometry.mesh import Mesh
from rayboot.geometry.pose import FacePose
from rayboot.render.inpaint import fill_nearest
from rayboot.render.interpolation import sample_photo
from rayboot.render.light_transfer import light_factors
from rayboot.render.scene import TexturedMesh
from rayboot.render.visibility import Visibility, compute_visibility

__all__ = ["ColorMode", "color_vertices", "texture_mesh"]

ColorMode = Literal["mirrored", "projected"]

_MIRROR_REACH = 2.5
"""A mirror image counts as found within this distance of the front, px of a 96 px crop."""

_RIM = 3.0
"""Within this distance of the outline (px of a 96 px crop) a pixel may show the background,
where the network drew the face too wide. Nothing else takes its colour from there."""

_OUTERMOST = 1.0
"""Within this distance a pixel is always part background."""

_FOREIGN = 36
"""A pixel of the rim that differs by more (of 255, in any channel) from the face beside
it is background."""

_RING = 2.0
"""Width of the ring inside the rim whose colours the back takes, px of a 96 px crop."""

_BEHIND = 5.0
"""What lies this far behind the front (px of a 96 px crop) is back, not the hidden side of
a nose: it may not show the face that is before it."""

_MIN_DONORS = 64
"""Pixels; a face of which less is seen is no face, and is painted plainly."""

_OWN, _MIRRORED, _BLENDED = range(3)
"""Where a vertex takes its colour: its own pixel, its mirror image's, or colours of its own."""


class _Paint(NamedTuple):
    """Where N vertices take their colours.

    Attributes:
        texture: (S, S, 3) uint8, the photo without background on the face's rim.
        source: (N,) of ``_OWN``, ``_MIRRORED``, ``_BLENDED``.
        pixels: (N, 2) column and row in the texture.
        factors: (N, 3) float32 on the texture's colour.
        colors: (N, 3) float32 in 0..255 that result.
    """

    texture: np.ndarray
    source: np.ndarray
    pixels: np.ndarray
    factors: np.ndarray
    colors: np.ndarray


def color_vertices(mesh: Mesh, photo: np.ndarray, pose: FacePose | None, mode: ColorMode) -> Mesh:
    """The mesh with a colour at every vertex.

    Args:
        mesh: in the frame of the crop.
        photo: (S, S, 3) uint8 crop.
        pose: of the mesh; its symmetry plane mirrors. None where it is not known: what
            was hidden then takes the nearest seen colours.
        mode: ``mirrored``, or the paper's ``projected``.
    """
    colors = _paint(mesh, photo, pose, mode).colors
    return mesh._replace(colors=np.rint(np.clip(colors, 0, 255)).astype(np.uint8))


def texture_mesh(
    mesh: Mesh, photo: np.ndarray, pose: FacePose | None, mode: ColorMode
) -> TexturedMesh:
    """The mesh with the photo as its texture; the same arguments as :func:`color_vertices`.

    Triangles whose corners all take their own pixel, or all their mirror image's, are
    textured; the few between them and those that nothing was seen of have vertex colours.
    """
    paint = _paint(mesh, photo, pose, mode)
    corners = paint.source[mesh.faces]
    layer = np.where((corners == corners[:, :1]).all(axis=1), corners[:, 0], _BLENDED)
    # A vertex is repeated for every layer whose triangles meet in it.
    count = len(mesh.vertices)
    corner = layer[:, None] * count + mesh.faces
    used = np.zeros(3 * count, bool)
    used[corner.ravel()] = True
    kept = np.flatnonzero(used)
    vertex, of_layer = kept % count, kept // count
    blended = of_layer == _BLENDED
    size = photo.shape[0]
    # Two white rows below the photo: what has colours of its own looks there.
    image = np.concatenate([paint.texture, np.full((2, size, 3), 255, np.uint8)])
    pixels = np.where(blended[:, None], (0.5, size + 0.5), paint.pixels[vertex])
    coordinates = (pixels + 0.5) / (size, size + 2) * (1, -1) + (0, 1)
    factors = np.where(blended[:, None], paint.colors[vertex] / 255, paint.factors[vertex])
    return TexturedMesh(
        mesh.vertices[vertex],
        (np.cumsum(used) - 1)[corner].astype(np.int32),
        factors.astype(np.float32),
        image,
        coordinates.astype(np.float32),
        vertex,
    )


def _paint(mesh: Mesh, photo: np.ndarray, pose: FacePose | None, mode: ColorMode) -> _Paint:
    match mode:
        case "projected":
            return _project(mesh, photo)
        case "mirrored":
            return _paint_hidden(mesh, photo, pose)
        case _:
            assert_never(mode)


def _project(mesh: Mesh, photo: np.ndarray) -> _Paint:
    """Every vertex takes the pixel that it projects to, whether the camera saw it or not."""
    size, count = photo.shape[0], len(mesh.vertices)
    pixels = pixel_from_crop(mesh.vertices, size, size)
    source, factors = np.full(count, _OWN), np.ones((count, 3), np.float32)
    return _Paint(photo, source, pixels, factors, sample_photo(photo, pixels))


def _paint_hidden(mesh: Mesh, photo: np.ndarray, pose: FacePose | None) -> _Paint:
    """Vertices that the camera did not see take colours from elsewhere."""
    size, count = photo.shape[0], len(mesh.vertices)
    pixels = pixel_from_crop(mesh.vertices, size, size)
    sight = compute_visibility(mesh, size)
    if (sight.pixels & (sight.inside > _RIM)).sum() < _MIN_DONORS:
        return _project(mesh, photo)
    donors = sight.pixels & (sight.inside > _RIM)
    filled = fill_nearest(photo, donors)
    texture = _without_background(photo, filled, sight)
    factors = np.ones((count, 3), np.float32)
    # A vertex beside a seen one keeps its own pixel: single steep vertices amid a seen
    # region would else stand out as speckles of the other side's light.
    own = _spread(mesh.faces, sight.seen)
    back = ~own & (sight.depth(mesh.vertices) > _BEHIND)
    ring = fill_nearest(photo, donors & (sight.inside <= _RIM + _RING))
    source = np.where(own, _OWN, _BLENDED)
    colors = sample_photo(filled, pixels)
    colors[own] = sample_photo(texture, pixels[own])
    colors[back] = sample_photo(ring, pixels[back])
    paint = _Paint(texture, source, pixels, factors, colors)
    return paint if pose is None else _mirror(paint, mesh, pose, sight, own)


def _mirror(
    paint: _Paint, mesh: Mesh, pose: FacePose, sight: Visibility, own: np.ndarray
) -> _Paint:
    """What has no pixel of its own takes its mirror image's, where that was seen."""
    size = paint.texture.shape[0]
    images, found = _mirror_images(mesh, pose, sight)
    there = pixel_from_crop(images, size, size)
    hidden = found & ~own
    # Beside what was hidden the light of both sides is known, and there it must go on.
    beside = _spread(mesh.faces, _spread(mesh.faces, hidden)) & own & found
    factors, colors = paint.factors.copy(), paint.colors.copy()
    factors[hidden] = light_factors(
        paint.texture, paint.pixels[beside], there[beside], paint.pixels[hidden]
    )
    colors[hidden] = factors[hidden] * sample_photo(paint.texture, there[hidden])
    return _Paint(
        paint.texture,
        np.where(hidden, _MIRRORED, paint.source),
        np.where(hidden[:, None], there, paint.pixels),
        factors,
        colors,
    )


def _spread(faces: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """The chosen vertices (N,) bool and those that share a triangle with one."""
    spread = np.zeros(len(chosen), bool)
    spread[faces[chosen[faces].any(axis=1)].ravel()] = True
    return spread


def _without_background(photo: np.ndarray, filled: np.ndarray, sight: Visibility) -> np.ndarray:
    """The photo, its pixels of the rim that are no face replaced by the face beside them."""
    foreign = (cv2.absdiff(photo, filled) > _FOREIGN).any(axis=-1)
    own = (sight.inside > _RIM) | ((sight.inside > _OUTERMOST) & ~foreign)
    return np.where(own[..., None], photo, filled)


def _mirror_images(mesh: Mesh, pose: FacePose, sight: Visibility) -> tuple[np.ndarray, np.ndarray]:
    """Every vertex's mirror image (N, 3), and whether (N,) the camera saw the surface there."""
    normal = pose.symmetry_normal
    images = mesh.vertices - 2 * np.outer((mesh.vertices - pose.centroid) @ normal, normal)
    facing = sight.normals - 2 * np.outer(sight.normals @ normal, normal)
    found = sight.is_visible(images, facing, _MIRROR_REACH)
    size = len(sight.inside)
    column, row = np.rint(pixel_from_crop(images[found], size, size)).astype(int).T
    found[found] = sight.inside[row, column] > _RIM
    return images, found
