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


def donors_of(mesh: Mesh) -> np.ndarray:
    """Vertices (N,) bool that were seen, away from the rim and the pixels that meet it."""
    sight = compute_visibility(mesh, SIZE)
    column, row = np.rint(pixel_from_crop(mesh.vertices, SIZE, SIZE)).astype(int).T
    return sight.seen & (sight.inside[row, column] > 4)


def test_the_plain_mode_bleeds_and_the_mirrored_one_does_not() -> None:
    """Half the face is dark by its own; its hidden side must take the mirror's colour."""
    yaw = np.radians(30)
    rotation = rotation_yaw_pitch(yaw, 0)
    mesh = ellipsoid((24.0, 30.0, 40.0))
    mesh = mesh._replace(vertices=(mesh.vertices @ rotation.T).astype(np.float32))
    pose = FacePose(rotation[:, 0], rotation[:, 2], rotation[:, 1], np.zeros(3), 1.0)
    photo = np.full((SIZE, SIZE, 3), 200, np.uint8)
    # A bright mark at the silhouette would be projected through onto the hidden side.
    mirrored = color_vertices(mesh, photo, pose, "mirrored").colors
    assert np.array_equal(mirrored, color_vertices(mesh, photo, pose, "projected").colors)
    side = (mesh.vertices @ pose.symmetry_normal) * 4
    photo[:, SIZE // 2 :] = 50
    mirrored = color_vertices(mesh, photo, pose, "mirrored").colors
    projected = color_vertices(mesh, photo, pose, "projected").colors
    seen, within = compute_visibility(mesh, SIZE).seen, donors_of(mesh)
    assert (mirrored[~seen] != projected[~seen]).any()
    assert np.array_equal(mirrored[within], projected[within])
    assert np.isfinite(side).all()


def turned_solid(yaw_deg: float) -> tuple[Mesh, FacePose]:
    rotation = rotation_yaw_pitch(np.radians(yaw_deg), 0)
    mesh = ellipsoid((24.0, 30.0, 40.0))
    mesh = mesh._replace(vertices=(mesh.vertices @ rotation.T).astype(np.float32))
    return mesh, FacePose(rotation[:, 0], rotation[:, 2], rotation[:, 1], np.zeros(3), 1.0)


def hidden_cheek(mesh: Mesh, pose: FacePose) -> tuple[np.ndarray, np.ndarray]:
    """Hidden vertices whose mirror image was seen, and the seen vertices there."""
    seen = np.flatnonzero(compute_visibility(mesh, SIZE).seen)
    hidden = np.setdiff1d(np.flatnonzero(mesh.vertices @ pose.gaze > 8), seen)
    points = mesh.vertices[hidden]
    images = points - 2 * np.outer(points @ pose.symmetry_normal, pose.symmetry_normal)
    tree = cKDTree(mesh.vertices[seen])
    distance, donor = tree.query(images)
    kept = (distance < 1) & (tree.query(points)[0] > 1.6)
    return hidden[kept], seen[donor[kept]]


def test_a_hidden_cheek_takes_its_mirror_images_colour() -> None:
    mesh, pose = turned_solid(35)
    # Skin of one light all over, and a mark on the seen cheek.
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
    mesh, pose = turned_solid(30)
    photo = np.full((SIZE, SIZE, 3), 200, np.uint8)
    lit = np.linspace(0.3, 1.0, SIZE)[None, :, None]
    colors = color_vertices(mesh, (photo * lit).astype(np.uint8), pose, "mirrored").colors
    hidden, donors = hidden_cheek(mesh, pose)
    seen = np.flatnonzero(compute_visibility(mesh, SIZE).seen)
    beside = seen[cKDTree(mesh.vertices[seen]).query(mesh.vertices[hidden])[1]]
    to_rim = np.abs(colors[hidden].astype(int) - colors[beside]).mean()
    to_donor = np.abs(colors[hidden].astype(int) - colors[donors]).mean()
    assert to_rim < 0.6 * to_donor


def test_without_a_pose_the_nearest_seen_colours_are_taken() -> None:
    mesh, photo = ellipsoid(), smooth_photo(4)
    painted = color_vertices(mesh, photo, None, "mirrored")
    donors = donors_of(mesh)
    behind = mesh.vertices[:, 2] < -10
    _, nearest = cKDTree(mesh.vertices[donors]).query(mesh.vertices[behind])
    beside, own = painted.colors[donors][nearest].astype(int), painted.colors[behind]
    elsewhere = np.random.default_rng(0).permutation(beside)
    assert np.median(np.abs(own - beside)) < 0.3 * np.median(np.abs(own - elsewhere))


def test_background_at_the_rim_of_a_solid_too_wide_is_not_taken() -> None:
    mesh = ellipsoid()
    y, x = np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2
    face = (x / 22.5) ** 2 + (y / 28.5) ** 2 < 1
    skin = np.array([180, 140, 120])
    photo = np.where(face[..., None], skin, (20, 220, 40)).astype(np.uint8)
    for pose in (frontal_pose(), None):
        colors = color_vertices(mesh, photo, pose, "mirrored").colors
        # A trace may be left where a pixel is part face.
        assert np.abs(colors.astype(int) - skin).max() <= 40
    assert (color_vertices(mesh, photo, None, "projected").colors[:, 1] > 200).any()


@pytest.mark.parametrize("mode", ["mirrored", "projected"])
def test_a_draped_mesh_is_the_painted_one(mode: str) -> None:
    """The same triangles; at its corners the texture gives the colours of the vertices."""
    mesh, pose = turned_solid(30)
    photo = smooth_photo(3)
    painted = color_vertices(mesh, photo, pose, mode)
    draped = texture_mesh(mesh, photo, pose, mode)
    assert np.array_equal(draped.vertices[draped.faces], mesh.vertices[mesh.faces])
    height, width = draped.image.shape[:2]
    pixels = draped.texture_coordinates * (width, -height) + (-0.5, height - 0.5)
    colors = np.clip(draped.factors * sample_bilinear(draped.image, pixels), 0, 255)
    expected = painted.colors[mesh.faces].astype(float)
    assert np.abs(colors[draped.faces] - expected).max() <= 1


def test_what_was_seen_and_its_mirror_image_are_textured() -> None:
    mesh, pose = turned_solid(30)
    draped = texture_mesh(mesh, smooth_photo(3), pose, "mirrored")
    rows = (1 - draped.texture_coordinates[:, 1]) * draped.image.shape[0]
    textured = (rows[draped.faces] < SIZE).all(axis=1)
    seen = compute_visibility(mesh, SIZE).seen[mesh.faces].all(axis=1)
    assert textured[seen].all()
    assert textured.sum() > 1.2 * seen.sum()
    assert not textured.all()
