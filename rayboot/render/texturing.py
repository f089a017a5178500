"""The photo's colours on a reconstructed solid.

The paper's plain projection gives every vertex the pixel that it projects to,
visible or not: features bleed onto the sides and a second mouth shows on the
cheek. By default, surfaces that are hidden in the photo get the colour of their
mirror image at the plane of symmetry, in the light of their own side, or, where
that is hidden too, the nearest visible colours.

Where the photo shows the surface itself or its mirror image, the mesh has the
photo as a texture, so a mesh coarser than the photo loses none of its detail.
"""

from typing import Literal, NamedTuple, assert_never

import numpy as np

from rayboot.geometry.camera import pixel_from_crop
from rayboot.geometry.mesh import Mesh
from rayboot.geometry.pose import FacePose
from rayboot.render.interpolation import sample_bilinear
from rayboot.render.light_transfer import estimate_light_ratios
from rayboot.render.photo_charts import Rim, add_neighbours, make_charts, values_at
from rayboot.render.scene import TexturedMesh
from rayboot.render.visibility import Visibility, compute_visibility

__all__ = ["ColorMode", "color_vertices", "texture_mesh"]

ColorMode = Literal["mirrored", "projected"]
"""``mirrored``: hidden surfaces get their mirror image's colours; ``projected``: every vertex
gets the pixel that it projects to, as in the paper."""

_MIRROR_RIM = 6.0
"""Distance from the outline, px of a 96 px crop, within which a mirror image gives no colour: it is
seen so obliquely there that its colours vary from vertex to vertex."""

_MIRROR_TOLERANCE = 2.5
"""Largest distance of a mirror image from the visible front, px of a 96 px crop."""

_DIRECT, _MIRRORED, _BLENDED = range(3)
"""Sources of a vertex's colour: its own pixel, its mirror image's, or a blend of visible ones."""


class _Colors(NamedTuple):
    """Colours of N vertices and where in the texture they come from.

    Attributes:
        texture: (S, S, 3) uint8, the photo without background on the face's rim.
        source: (N,) of ``_DIRECT``, ``_MIRRORED``, ``_BLENDED``.
        pixels: (N, 2) column and row in the texture.
        factors: (N, 3) float32 on the texture's colour.
        values: (N, 3) float32 in 0..255, the resulting colours.
    """

    texture: np.ndarray
    source: np.ndarray
    pixels: np.ndarray
    factors: np.ndarray
    values: np.ndarray


def color_vertices(mesh: Mesh, photo: np.ndarray, pose: FacePose | None, mode: ColorMode) -> Mesh:
    """Returns the mesh with a colour at every vertex.

    Args:
        mesh: mesh in the frame of the crop.
        photo: (S, S, 3) uint8 crop.
        pose: pose of the mesh, whose symmetry plane mirrors. If it is None, hidden surfaces get
            the nearest visible colours.
        mode: ``mirrored``, or the paper's ``projected``.
    """
    colors = _compute_colors(mesh, photo, pose, mode, None, Rim()).values
    return mesh._replace(colors=np.rint(np.clip(colors, 0, 255)).astype(np.uint8))


def texture_mesh(
    mesh: Mesh,
    photo: np.ndarray,
    pose: FacePose | None,
    mode: ColorMode,
    visibility: Visibility | None = None,
    rim: Rim | None = None,
) -> TexturedMesh:
    """Returns the mesh with the photo as its texture; arguments as in :func:`color_vertices`.

    The visibility of the mesh to the crop's camera is computed where it is not given; without
    ``rim`` that of a mesh without surroundings is used.

    Triangles are textured if all their corners use their own pixel, or all their mirror
    image's. The triangles in between, and those that are hidden on both sides, have vertex
    colours.
    """
    colors = _compute_colors(mesh, photo, pose, mode, visibility, rim or Rim())
    corner_sources = colors.source[mesh.faces]
    same_source = (corner_sources == corner_sources[:, :1]).all(axis=1)
    layer = np.where(same_source, corner_sources[:, 0], _BLENDED)
    # A vertex is repeated for every layer whose triangles meet at it.
    count = len(mesh.vertices)
    corner = layer[:, None] * count + mesh.faces
    used = np.zeros(3 * count, bool)
    used[corner.ravel()] = True
    kept = np.flatnonzero(used)
    vertex, vertex_layer = kept % count, kept // count
    blended = vertex_layer == _BLENDED
    size = photo.shape[0]
    # Two white rows below the photo serve as the texture of vertices with blended colours.
    image = np.concatenate([colors.texture, np.full((2, size, 3), 255, np.uint8)])
    pixels = np.where(blended[:, None], (0.5, size + 0.5), colors.pixels[vertex])
    coordinates = (pixels + 0.5) / (size, size + 2) * (1, -1) + (0, 1)
    factors = np.where(blended[:, None], colors.values[vertex] / 255, colors.factors[vertex])
    return TexturedMesh(
        mesh.vertices[vertex],
        (np.cumsum(used) - 1)[corner].astype(np.int32),
        factors.astype(np.float32),
        image,
        coordinates.astype(np.float32),
        vertex,
    )


def _compute_colors(
    mesh: Mesh,
    photo: np.ndarray,
    pose: FacePose | None,
    mode: ColorMode,
    visibility: Visibility | None,
    rim: Rim,
) -> _Colors:
    match mode:
        case "projected":
            return _project_photo(mesh, photo)
        case "mirrored":
            seen = visibility or compute_visibility(mesh, photo.shape[0])
            return _fill_hidden(mesh, photo, pose, seen, rim)
        case _:
            assert_never(mode)


def _project_photo(mesh: Mesh, photo: np.ndarray) -> _Colors:
    """Gives every vertex the pixel that it projects to, visible or not."""
    size, count = photo.shape[0], len(mesh.vertices)
    pixels = pixel_from_crop(mesh.vertices, size, size)
    source, factors = np.full(count, _DIRECT), np.ones((count, 3), np.float32)
    return _Colors(photo, source, pixels, factors, sample_bilinear(photo, pixels))


def _fill_hidden(
    mesh: Mesh,
    photo: np.ndarray,
    pose: FacePose | None,
    visibility: Visibility,
    rim: Rim,
) -> _Colors:
    """Gives visible vertices their own pixel, and hidden ones colours from elsewhere."""
    charts = make_charts(mesh, photo, visibility, rim)
    if charts is None:
        return _project_photo(mesh, photo)
    count, pixels = len(mesh.vertices), charts.pixels
    values = np.empty((count, 3), np.float32)
    for number, image in enumerate(charts.images):
        chosen = charts.chart == number
        values[chosen] = sample_bilinear(image, pixels[chosen])
    direct, factors = charts.chart == 0, np.ones((count, 3), np.float32)
    source = np.where(direct, _DIRECT, _BLENDED)
    colors = _Colors(charts.images[0], source, pixels, factors, values)
    return colors if pose is None else _mirror_hidden(colors, mesh, pose, visibility, direct)


def _mirror_hidden(
    colors: _Colors, mesh: Mesh, pose: FacePose, visibility: Visibility, direct: np.ndarray
) -> _Colors:
    """Gives vertices without a pixel of their own that of their mirror image, if it is visible."""
    size = colors.texture.shape[0]
    images, image_visible = _mirror_images(mesh, pose, visibility)
    image_pixels = pixel_from_crop(images, size, size)
    hidden = image_visible & ~direct
    # Next to hidden vertices the light of both sides is known, and there it must be continuous.
    adjacent = add_neighbours(mesh.faces, add_neighbours(mesh.faces, hidden))
    adjacent = adjacent & direct & image_visible
    factors, values = colors.factors.copy(), colors.values.copy()
    factors[hidden] = estimate_light_ratios(
        colors.texture, colors.pixels[adjacent], image_pixels[adjacent], colors.pixels[hidden]
    )
    values[hidden] = factors[hidden] * sample_bilinear(colors.texture, image_pixels[hidden])
    return _Colors(
        colors.texture,
        np.where(hidden, _MIRRORED, colors.source),
        np.where(hidden[:, None], image_pixels, colors.pixels),
        factors,
        values,
    )


def _mirror_images(
    mesh: Mesh, pose: FacePose, visibility: Visibility
) -> tuple[np.ndarray, np.ndarray]:
    """Returns every vertex's mirror image (N, 3), and whether (N,) the surface there is visible."""
    normal = pose.symmetry_normal
    images = mesh.vertices - 2 * np.outer(mesh.vertices @ normal - pose.plane_offset, normal)
    mirrored_normals = visibility.normals - 2 * np.outer(visibility.normals @ normal, normal)
    visible = visibility.is_visible(images, mirrored_normals, _MIRROR_TOLERANCE)
    size = len(visibility.outline_distance)
    pixels = pixel_from_crop(images[visible], size, size)
    visible[visible] = values_at(visibility.outline_distance, pixels) > _MIRROR_RIM
    return images, visible
