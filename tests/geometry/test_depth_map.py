import numpy as np

from rayboot.geometry.depth_map import draw_depth_map

LOW, STEP = np.array([0.0, 0.0]), np.array([1.0, 1.0])


def test_a_slanted_triangle_has_its_plane_as_depth() -> None:
    vertices = np.array([[-0.5, -0.5, 0.0], [8.5, -0.5, 9.0], [-0.5, 8.5, 4.5]])
    drawn = draw_depth_map(vertices, np.array([[0, 1, 2]]), LOW, STEP, 10)
    rows, columns = np.mgrid[:10, :10]
    inside = rows + columns <= 8
    assert np.array_equal(np.isfinite(drawn), inside)
    np.testing.assert_allclose(
        drawn[inside], ((columns + 0.5) + (rows + 0.5) / 2)[inside], atol=1e-12
    )


def test_the_foremost_of_two_triangles_is_drawn_and_reversed_ones_are_not() -> None:
    square = np.array([[-0.5, -0.5], [7.5, -0.5], [-0.5, 7.5]])
    layers = [np.column_stack([square, np.full(3, z)]) for z in (1.0, 3.0, 7.0)]
    faces = np.array([[0, 1, 2], [3, 4, 5], [8, 7, 6]])
    drawn = draw_depth_map(np.concatenate(layers), faces, LOW, STEP, 12)
    assert (drawn[:3, :3] == 3.0).all()
