import numpy as np

from rayboot.geometry.camera import rotation_yaw_pitch
from rayboot.geometry.pose import FacePose
from rayboot.render.colors import paint_mesh, project_colors, visible_vertices
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
    hidden = ~visible_vertices(mesh, SIZE)
    assert (mirrored[hidden] != projected[hidden]).any()
    assert np.array_equal(mirrored[~hidden], projected[~hidden])
    assert np.isfinite(side).all()


def test_a_hidden_cheek_takes_its_mirror_images_colour() -> None:
    mesh, pose = ellipsoid((24.0, 30.0, 40.0)), frontal_pose()
    rotation = rotation_yaw_pitch(np.radians(35), 0)
    turned = mesh._replace(vertices=(mesh.vertices @ rotation.T).astype(np.float32))
    pose = FacePose(rotation[:, 0], rotation[:, 2], rotation[:, 1], np.zeros(3), 1.0)
    photo = smooth_photo(3)
    painted = paint_mesh(turned, photo, pose, "mirrored")
    offset = turned.vertices @ pose.symmetry_normal
    images = turned.vertices - 2 * np.outer(offset, pose.symmetry_normal)
    seen = visible_vertices(turned, SIZE)
    hidden = np.flatnonzero(~seen & (turned.vertices @ pose.gaze > 8))
    checked = 0
    for index in hidden:
        distance = np.linalg.norm(turned.vertices[seen] - images[index], axis=1)
        nearest_seen = np.linalg.norm(turned.vertices[seen] - turned.vertices[index], axis=1).min()
        if distance.min() < 1.0 and nearest_seen > 1.5:
            donor = painted.colors[seen][np.argmin(distance)]
            assert np.array_equal(painted.colors[index], donor)
            checked += 1
    assert checked > 50


def test_without_a_pose_the_nearest_seen_colour_is_taken() -> None:
    mesh, photo = ellipsoid(), smooth_photo(4)
    painted = paint_mesh(mesh, photo, None, "mirrored")
    seen = visible_vertices(mesh, SIZE)
    known = {tuple(color) for color in painted.colors[seen]}
    far = ~seen & (mesh.vertices[:, 2] < -10)
    assert all(tuple(color) in known for color in painted.colors[far])
