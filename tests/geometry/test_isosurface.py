import numpy as np
import pytest

from rayboot.errors import DegenerateInputError
from rayboot.geometry.isosurface import (
    extract_solid_surface,
    extract_surface,
    vertex_normals,
)
from tests.geometry.shapes import soft_sphere

SHAPE = (64, 64, 64)


def test_a_sphere_keeps_centre_radius_and_volume():
    centre = np.array([3.0, -4.0, 2.0])
    mesh = extract_surface(soft_sphere(SHAPE, centre, 12))
    radius = np.linalg.norm(mesh.vertices - centre, axis=1)
    assert radius == pytest.approx(12, abs=0.05)
    corners = mesh.vertices[mesh.faces].astype(float)
    signed = np.einsum("ij,ij->i", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])).sum() / 6
    assert signed == pytest.approx(4 / 3 * np.pi * 12**3, rel=0.01)  # positive: faces outward
    assert mesh.vertices.dtype == np.float32 and mesh.faces.dtype == np.int32


@pytest.mark.parametrize("cell", [1, 2])
def test_coarse_surfaces_coincide_with_the_full_one(cell: int):
    centre = np.array([3.25, -4.5, 2.0])
    volume = soft_sphere((63, 64, 65), centre, 12)
    mesh = extract_surface(volume, cell=cell)
    radius = np.linalg.norm(mesh.vertices - centre, axis=1)
    assert np.median(radius) == pytest.approx(12, abs=0.05 * cell)
    assert radius == pytest.approx(np.full(len(radius), 12), abs=0.25 * cell)
    # The density of the vertices is not uniform.
    assert mesh.vertices.mean(axis=0) == pytest.approx(centre, abs=0.1 * cell)
    assert len(mesh.faces) < 0.75 / cell**2 * len(extract_surface(volume).faces)


def test_normals_point_outward():
    mesh = extract_surface(soft_sphere(SHAPE, np.zeros(3), 12))
    outward = mesh.vertices / np.linalg.norm(mesh.vertices, axis=1, keepdims=True)
    assert (vertex_normals(mesh.vertices, mesh.faces) * outward).sum(axis=1).min() > 0.99


def test_a_solid_that_meets_the_border_is_closed():
    mesh = extract_surface(soft_sphere(SHAPE, np.array([28.0, 0, 0]), 12))
    edges = np.sort(mesh.faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
    assert (np.unique(edges, axis=0, return_counts=True)[1] == 2).all()


@pytest.mark.parametrize("cell", [0, 1])
def test_a_solid_surface_omits_small_components(cell: int):
    solid = soft_sphere(SHAPE, np.zeros(3), 9)
    small = soft_sphere(SHAPE, np.array([25.0, 25.0, 10.0]), 3)
    mesh = extract_solid_surface(np.maximum(solid, small), cell=cell)
    assert np.linalg.norm(mesh.vertices, axis=1).max() < 10
    assert np.abs(extract_surface(np.maximum(solid, small), cell=cell).vertices).max() > 20


def test_an_empty_volume_is_refused():
    with pytest.raises(DegenerateInputError, match="empty"):
        extract_surface(np.zeros(SHAPE, np.float32))
