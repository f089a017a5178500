import numpy as np

from rayboot.geometry.mesh import Mesh
from rayboot.synthesis.sampling import Light, Lighting
from rayboot.synthesis.surfaces import (
    build_sheet,
    build_tube,
    join_surfaces,
    light_surface,
    merge_meshes,
)

WHITE = np.ones(3)


def square(z: float = 0.0) -> np.ndarray:
    x, y = np.meshgrid([0.0, 1.0], [0.0, 1.0])
    return np.stack([x, y, 0 * x + z], axis=-1)


def test_a_tube_has_its_radius_along_the_path() -> None:
    path = np.column_stack([np.linspace(0, 3, 5), np.zeros(5), np.zeros(5)])
    tube = build_tube(path, np.array([0.1, 0.2, 0.3, 0.2, 0.1]), WHITE)
    radius = np.hypot(tube.vertices[:, 1], tube.vertices[:, 2]).reshape(5, 7)
    assert np.allclose(radius, [[0.1], [0.2], [0.3], [0.2], [0.1]])


def test_surfaces_turned_to_the_light_are_brighter() -> None:
    light = Light(np.array([0.0, 0.0, 1.0]), 0.5 * WHITE)
    lighting = Lighting((light,), 0.2 * WHITE, occlusion=0.0, gloss=0.0)
    facing = build_sheet(square(), WHITE)
    edge_on = facing._replace(vertices=facing.vertices[:, [0, 2, 1]])
    reversed_sheet = facing._replace(faces=facing.faces[:, ::-1])
    values = [
        light_surface(surface, lighting, np.eye(3, 4)).colors
        for surface in (facing, edge_on, reversed_sheet)
    ]
    means = [float(value.mean()) for value in values if value is not None]
    assert means[0] > 2 * means[1]
    assert means[0] == means[2]


def test_joined_and_merged_triangles_keep_their_corners() -> None:
    one, two = build_sheet(square(), WHITE), build_sheet(square(5.0), 0.5 * WHITE)
    joined = join_surfaces([one, two])
    assert np.array_equal(joined.vertices[joined.faces[2:]], two.vertices[two.faces])
    assert np.array_equal(joined.colors[4:], two.colors)
    meshes = [Mesh(s.vertices, s.faces, np.uint8(255 * s.colors)) for s in (one, two)]
    merged = merge_meshes(meshes)
    assert np.array_equal(merged.vertices[merged.faces[2:]], two.vertices[two.faces])
