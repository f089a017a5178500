import numpy as np
from scipy.spatial import cKDTree

from rayboot.geometry.camera import pixel_from_crop, rotation_yaw_pitch
from rayboot.geometry.mesh import Mesh
from rayboot.geometry.pose import FacePose
from rayboot.render.colors import paint_mesh, project_colors, visible_vertices
from rayboot.render.silhouette import distance_inside
from tests.render.solids import SIZE, ellipsoid, frontal_pose, smooth_photo


def test_seen_vertices_face_the_camera_and_are_in_front() -> None:
    mesh = ellipsoid()
    seen = visible_vertices(mesh, SIZE)
    assert (mesh.vertices[seen, 2] > 0).all()
    assert seen.mean() > 0.35


def test_projection_samples_the_photo_between_pixels() -> None:
    photo = np.zeros((SIZE, SIZE, 3), np.uint8)
    photo[:, :] = np.arange(SIZE)[None, :, None]
    colors = project_colors(np.array([[0.0, 0.0, 5.0], [10.5, -3.0, 0.0]]), photo)
    assert colors[:, 0].tolist() in ([47, 58], [48, 58])
    assert colors[1].tolist() == [58, 58, 58]


def test_meshes_of_the_released_network_have_more_vertices_than_a_picture_rows() -> None:
    photo = smooth_photo(2)
    one = np.array([[10.5, -3.0, 0.0], [-20.25, 8.0, 1.0]])
    many = np.tile(one, (40_001, 1))
    colors = project_colors(many, photo)
    assert colors.shape == (80_002, 3)
    assert np.array_equal(colors, np.tile(project_colors(one, photo), (40_001, 1)))


def test_the_plain_mode_bleeds_and_the_mirrored_one_does_not() -> None:
    """Half the face is dark by its own; its hidden side must take the mirror's colour."""
    yaw = np.radians(30)
    rotation = rotation_yaw_pitch(yaw, 0)
    mesh = ellipsoid((24.0, 30.0, 40.0))
    mesh = mesh._replace(vertices=(mesh.vertices @ rotation.T).astype(np.float32))
    pose = FacePose(rotation[:, 0], rotation[:, 2], rotation[:, 1], np.zeros(3), 1.0)
    photo = np.full((SIZE, SIZE, 3), 200, np.uint8)
    # A bright mark at the silhouette would be projected through onto the hidden side.
    mirrored = paint_mesh(mesh, photo, pose, "mirrored").colors
    assert np.array_equal(mirrored, paint_mesh(mesh, photo, pose, "projected").colors)
    side = (mesh.vertices @ pose.symmetry_normal) * 4
    photo[:, SIZE // 2 :] = 50
    mirrored = paint_mesh(mesh, photo, pose, "mirrored").colors
    projected = paint_mesh(mesh, photo, pose, "projected").colors
    seen = visible_vertices(mesh, SIZE)
    within = seen & (distance_inside(mesh.vertices, SIZE) > 3)
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
    seen = np.flatnonzero(visible_vertices(mesh, SIZE))
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
    colors = paint_mesh(mesh, photo, pose, "mirrored").colors
    assert len(hidden) > 50
    difference = np.abs(colors[hidden].astype(int) - colors[donors])
    assert np.median(difference) <= 2
    assert (colors[hidden, 0] > 180).any()


def test_a_hidden_cheek_keeps_the_light_of_its_side() -> None:
    mesh, pose = turned_solid(30)
    photo = np.full((SIZE, SIZE, 3), 200, np.uint8)
    lit = np.linspace(0.3, 1.0, SIZE)[None, :, None]
    colors = paint_mesh(mesh, (photo * lit).astype(np.uint8), pose, "mirrored").colors
    hidden, donors = hidden_cheek(mesh, pose)
    seen = np.flatnonzero(visible_vertices(mesh, SIZE))
    beside = seen[cKDTree(mesh.vertices[seen]).query(mesh.vertices[hidden])[1]]
    to_rim = np.abs(colors[hidden].astype(int) - colors[beside]).mean()
    to_donor = np.abs(colors[hidden].astype(int) - colors[donors]).mean()
    assert to_rim < 0.6 * to_donor


def test_without_a_pose_the_nearest_seen_colours_are_taken() -> None:
    mesh, photo = ellipsoid(), smooth_photo(4)
    painted = paint_mesh(mesh, photo, None, "mirrored")
    donors = visible_vertices(mesh, SIZE) & (distance_inside(mesh.vertices, SIZE) > 3)
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
        colors = paint_mesh(mesh, photo, pose, "mirrored").colors
        # A trace may be left where a pixel is part face.
        assert np.abs(colors.astype(int) - skin).max() <= 40
    assert (paint_mesh(mesh, photo, None, "projected").colors[:, 1] > 200).any()
