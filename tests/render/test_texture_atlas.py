import cv2
import numpy as np
import pytest

from rayboot.geometry.camera import pixel_from_crop
from rayboot.geometry.mesh import Mesh
from rayboot.render.interpolation import sample_bilinear
from rayboot.render.photo_charts import chart_photo
from rayboot.render.texture_atlas import TextureAtlas, make_face_atlas
from rayboot.render.texturing import color_vertices
from rayboot.render.visibility import compute_visibility
from tests.render.solids import SIZE, ellipsoid, smooth_photo


def corner_colors(atlas: TextureAtlas) -> np.ndarray:
    """Returns what a viewer reads from the texture at each corner of each triangle (F, 3, 3)."""
    height, width = atlas.image.shape[:2]
    pixels = (atlas.coordinates * (1, -1) + (0, 1)) * (width, height) - 0.5
    return sample_bilinear(atlas.image, pixels)[atlas.corners]


def triangles_in_one_chart(mesh: Mesh, photo: np.ndarray) -> np.ndarray:
    charts = chart_photo(mesh, photo).chart[mesh.faces]
    return np.asarray((charts == charts[:, :1]).all(axis=1))


@pytest.mark.parametrize("fine", [None, 97, 200, 512])
def test_the_texture_has_the_colours_of_the_vertices(fine: int | None) -> None:
    mesh, photo = ellipsoid(), smooth_photo()
    expected = color_vertices(mesh, photo, None, "mirrored").colors
    assert expected is not None
    closeup = None if fine is None else cv2.resize(photo, (fine, fine))
    colors = corner_colors(make_face_atlas(mesh, photo, closeup))
    difference = np.abs(colors - expected[mesh.faces].astype(float)).max(axis=-1)
    within = triangles_in_one_chart(mesh, photo)
    assert within.mean() > 0.8
    if fine is None:
        assert difference[within].max() <= 0.51
    # Finer pixels on the rim are a blend of the photo and of what replaces the background.
    distance = compute_visibility(mesh, SIZE).outline_distance
    column, row = np.rint(pixel_from_crop(mesh.vertices, SIZE, SIZE)).astype(int).T
    inner = (distance[row, column] > 5)[mesh.faces].all(axis=1)
    assert (within & inner).mean() > 0.3
    assert difference[within & inner].max() <= 3
    assert np.median(difference) <= 1
    # Between two charts, one corner or two have the colour next to theirs.
    assert np.quantile(difference[~within], 0.9) < 40


def test_what_is_visible_has_the_detail_of_the_photo() -> None:
    mesh, crop = ellipsoid(), np.full((SIZE, SIZE, 3), 128, np.uint8)
    stripes = np.where(np.arange(4 * SIZE) % 8 < 4, 100, 156).astype(np.uint8)
    closeup = np.broadcast_to(stripes[None, :, None], (4 * SIZE, 4 * SIZE, 3))
    atlas = make_face_atlas(mesh, crop, np.ascontiguousarray(closeup))
    assert atlas.image.shape[:2] == (5 * SIZE, 4 * SIZE)
    visible = compute_visibility(mesh, SIZE).visible[mesh.faces].all(axis=1)
    in_photo = (1 - atlas.coordinates[atlas.corners][..., 1]) * 5 < 4
    assert in_photo[visible].all() and not in_photo[mesh.vertices[mesh.faces][..., 2] < -5].any()
    middle = (atlas.image[2 * SIZE - 8 : 2 * SIZE, 2 * SIZE - 8 : 2 * SIZE]).astype(int)
    assert np.array_equal(middle, closeup[:8, :8])


def test_a_solid_of_which_too_little_is_visible_has_the_photo_alone() -> None:
    mesh = ellipsoid((3, 3, 3))
    photo = smooth_photo()
    colors = corner_colors(make_face_atlas(mesh, photo, None))
    expected = color_vertices(mesh, photo, None, "projected").colors
    assert expected is not None
    assert np.abs(colors - expected[mesh.faces]).max() <= 0.51
