import numpy as np
import pytest
from scipy.spatial import cKDTree

from rayboot.geometry.camera import pixel_from_crop, rotation_yaw_pitch
from rayboot.geometry.mesh import Mesh
from rayboot.geometry.pose import FacePose
from rayboot.render.interpolation import sample_bilinear
from rayboot.render.texturing import color_vertices, texture_mesh
from rayboot.render.visibility import compute_visibility
from tests.render.solids import SIZE, ellipsoid, frontal_pose, smooth_photo


def donor_vertices(mesh: Mesh) -> np.ndarray:
    """Returns the visible vertices (N,) bool that are not near the rim."""
    visibility = compute_visibility(mesh, SIZE)
    column, row = np.rint(pixel_from_crop(mesh.vertices, SIZE, SIZE)).astype(int).T
    return visibility.visible & (visibility.outline_distance[row, column] > 4)


def test_mirrored_mode_changes_only_hidden_vertices() -> None:
    """One half of the photo is dark; hidden vertices must not copy the pixel in front of them."""
    yaw = np.radians(30)
    rotation = rotation_yaw_pitch(yaw, 0)
    mesh = ellipsoid((24.0, 30.0, 40.0))
    mesh = mesh._replace(vertices=(mesh.vertices @ rotation.T).astype(np.float32))
    pose = FacePose(rotation[:, 0], rotation[:, 2], rotation[:, 1], np.zeros(3), 1.0)
    photo = np.full((SIZE, SIZE, 3), 200, np.uint8)
    # In a photo of one colour both modes give the same.
    mirrored = color_vertices(mesh, photo, pose, "mirrored").colors
    assert np.array_equal(mirrored, color_vertices(mesh, photo, pose, "projected").colors)
    photo[:, SIZE // 2 :] = 50
    mirrored = color_vertices(mesh, photo, pose, "mirrored").colors
    projected = color_vertices(mesh, photo, pose, "projected").colors
    visible, inner = compute_visibility(mesh, SIZE).visible, donor_vertices(mesh)
    assert (mirrored[~visible] != projected[~visible]).any()
    assert np.array_equal(mirrored[inner], projected[inner])


def rotated_solid(yaw_deg: float) -> tuple[Mesh, FacePose]:
    rotation = rotation_yaw_pitch(np.radians(yaw_deg), 0)
    mesh = ellipsoid((24.0, 30.0, 40.0))
    mesh = mesh._replace(vertices=(mesh.vertices @ rotation.T).astype(np.float32))
    return mesh, FacePose(rotation[:, 0], rotation[:, 2], rotation[:, 1], np.zeros(3), 1.0)


def hidden_cheek(mesh: Mesh, pose: FacePose) -> tuple[np.ndarray, np.ndarray]:
    """Returns hidden vertices whose mirror image is visible, and the visible vertices there."""
    visible = np.flatnonzero(compute_visibility(mesh, SIZE).visible)
    hidden = np.setdiff1d(np.flatnonzero(mesh.vertices @ pose.gaze > 8), visible)
    points = mesh.vertices[hidden]
    images = points - 2 * np.outer(points @ pose.symmetry_normal, pose.symmetry_normal)
    tree = cKDTree(mesh.vertices[visible])
    distance, donor = tree.query(images)
    kept = (distance < 1) & (tree.query(points)[0] > 1.6)
    return hidden[kept], visible[donor[kept]]


def test_a_hidden_cheek_gets_its_mirror_images_colour() -> None:
    mesh, pose = rotated_solid(35)
    # Uniformly lit skin, and a mark on the visible cheek.
    photo = np.full((SIZE, SIZE, 3), 120, np.uint8)
    hidden, donors = hidden_cheek(mesh, pose)
    middle = pixel_from_crop(mesh.vertices[donors], SIZE, SIZE).mean(axis=0)
    rows, columns = np.mgrid[:SIZE, :SIZE]
    photo[np.hypot(columns - middle[0], rows - middle[1]) < 3] = (200, 60, 60)
    colors = color_vertices(mesh, photo, pose, "mirrored").colors
    assert len(hidden) > 50
    difference = np.abs(colors[hidden].astype(int) - colors[donors])
    assert np.median(difference) <= 2
    assert (colors[hidden, 0] > 180).any()


def test_a_hidden_cheek_keeps_the_light_of_its_side() -> None:
    mesh, pose = rotated_solid(30)
    photo = np.full((SIZE, SIZE, 3), 200, np.uint8)
    lit = np.linspace(0.3, 1.0, SIZE)[None, :, None]
    colors = color_vertices(mesh, (photo * lit).astype(np.uint8), pose, "mirrored").colors
    hidden, donors = hidden_cheek(mesh, pose)
    visible = np.flatnonzero(compute_visibility(mesh, SIZE).visible)
    nearest = visible[cKDTree(mesh.vertices[visible]).query(mesh.vertices[hidden])[1]]
    to_rim = np.abs(colors[hidden].astype(int) - colors[nearest]).mean()
    to_donor = np.abs(colors[hidden].astype(int) - colors[donors]).mean()
    assert to_rim < 0.6 * to_donor


def test_without_a_pose_hidden_vertices_get_the_nearest_visible_colours() -> None:
    mesh, photo = ellipsoid(), smooth_photo(4)
    colored = color_vertices(mesh, photo, None, "mirrored")
    donors = donor_vertices(mesh)
    behind = mesh.vertices[:, 2] < -10
    _, nearest = cKDTree(mesh.vertices[donors]).query(mesh.vertices[behind])
    expected, actual = colored.colors[donors][nearest].astype(int), colored.colors[behind]
    elsewhere = np.random.default_rng(0).permutation(expected)
    assert np.median(np.abs(actual - expected)) < 0.3 * np.median(np.abs(actual - elsewhere))


def test_background_at_the_rim_of_a_wide_solid_is_removed() -> None:
    mesh = ellipsoid()
    y, x = np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2
    face = (x / 22.5) ** 2 + (y / 28.5) ** 2 < 1
    skin = np.array([180, 140, 120])
    photo = np.where(face[..., None], skin, (20, 220, 40)).astype(np.uint8)
    for pose in (frontal_pose(), None):
        colors = color_vertices(mesh, photo, pose, "mirrored").colors
        # Pixels that are partly face may keep a trace of it.
        assert np.abs(colors.astype(int) - skin).max() <= 40
    assert (color_vertices(mesh, photo, None, "projected").colors[:, 1] > 200).any()


@pytest.mark.parametrize("mode", ["mirrored", "projected"])
def test_textured_and_coloured_meshes_agree_at_the_corners(mode: str) -> None:
    """Triangles are equal; at their corners the texture has the vertices' colours."""
    mesh, pose = rotated_solid(30)
    photo = smooth_photo(3)
    colored = color_vertices(mesh, photo, pose, mode)
    textured = texture_mesh(mesh, photo, pose, mode)
    assert np.array_equal(textured.vertices[textured.faces], mesh.vertices[mesh.faces])
    height, width = textured.image.shape[:2]
    pixels = textured.texture_coordinates * (width, -height) + (-0.5, height - 0.5)
    colors = np.clip(textured.factors * sample_bilinear(textured.image, pixels), 0, 255)
    expected = colored.colors[mesh.faces].astype(float)
    assert np.abs(colors[textured.faces] - expected).max() <= 1


def test_visible_triangles_and_their_mirror_images_are_textured() -> None:
    mesh, pose = rotated_solid(30)
    textured = texture_mesh(mesh, smooth_photo(3), pose, "mirrored")
    rows = (1 - textured.texture_coordinates[:, 1]) * textured.image.shape[0]
    is_textured = (rows[textured.faces] < SIZE).all(axis=1)
    visible = compute_visibility(mesh, SIZE).visible[mesh.faces].all(axis=1)
    assert is_textured[visible].all()
    assert is_textured.sum() > 1.2 * visible.sum()
    assert not is_textured.all()
