import numpy as np

from rayboot.render.inpaint import inpaint
from rayboot.render.visibility import silhouette_mask
from tests.render.solids import SIZE, ellipsoid, smooth_photo


def test_the_face_is_inpainted_and_other_pixels_are_kept() -> None:
    photo = smooth_photo()
    mask = silhouette_mask(ellipsoid().vertices, SIZE)
    photo[mask] = (255, 0, 0)
    filled = inpaint(photo, silhouette_mask(ellipsoid().vertices, SIZE, margin=2))
    outside = ~silhouette_mask(ellipsoid().vertices, SIZE, margin=2)
    assert np.array_equal(filled[outside], photo[outside])
    red = (filled[:, :, 0] > 230) & (filled[:, :, 1] < 30)
    assert not red[mask].any()


def test_filling_a_constant_gives_the_constant() -> None:
    image = np.full((40, 40, 3), (10, 120, 240), np.uint8)
    hole = np.zeros((40, 40), bool)
    hole[5:35, 8:30] = True
    assert np.abs(inpaint(image, hole).astype(int) - image).max() <= 1


def test_an_image_that_is_all_hole_becomes_its_mean_colour() -> None:
    image = np.zeros((8, 8, 3), np.uint8)
    image[:4] = 100
    assert (inpaint(image, np.ones((8, 8), bool)) == 50).all()
