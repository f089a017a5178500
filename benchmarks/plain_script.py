"""A plain script that does the work of ``generate``: one process, one face after the other.

It uses the network as published (eager, float32), scikit-image's isosurface of the whole
volume, axes from the covariance, colours by projection, a new renderer for every
view, and, as the paper's description suggests, writes the rotated volume of every view
with its image.
"""

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyrender
import skimage.measure
import torch
import trimesh
from PIL import Image
from scipy import ndimage

from rayboot.data.landmarks import read_landmarks
from rayboot.geometry.camera import crop_from_voxel, rotation_yaw_pitch, transform_points
from rayboot.geometry.crop import landmark_crop
from rayboot.models import VRN

__all__ = ["run_plain_script"]

_STEPS = ("read", "network", "surface", "pose and colours", "render", "rotate and write", "save")


def run_plain_script(
    network: VRN, photos: Sequence[Path], yaws_deg: Sequence[float], output: Path, volumes: bool
) -> dict[str, float]:
    """Processes the photos and returns the seconds of each step, all faces together.

    Args:
        network: network for crops of 192 px.
        photos: photos, each with its landmarks in a ``.t7`` file of the same name.
        yaws_deg: yaws of the views.
        output: folder to write to.
        volumes: whether rotated volumes are computed and written.
    """
    spent: dict[str, float] = dict.fromkeys(_STEPS, 0.0)
    output.mkdir(parents=True, exist_ok=True)
    for path in photos:
        clock = _Clock(spent)
        photo = Image.open(path).convert("RGB")
        landmarks = read_landmarks(path.with_suffix(".t7").read_bytes(), ".t7", photo.size)
        affine = landmark_crop(landmarks, 192)
        inverse = np.linalg.inv(np.vstack([affine, [0, 0, 1]]))[:2]
        crop = photo.transform(
            (192, 192), Image.Transform.AFFINE, inverse.ravel().tolist(), Image.Resampling.BILINEAR
        )
        image = np.asarray(crop)
        clock.stop("read")
        with torch.no_grad():
            tensor = torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float() / 255
            volume = network(tensor)[0].numpy()
        clock.stop("network")
        indices, faces, _, _ = skimage.measure.marching_cubes(volume, 0.5)
        vertices = transform_points(crop_from_voxel(volume.shape), indices)
        clock.stop("surface")
        centred = vertices - vertices.mean(axis=0)
        np.linalg.eigh(centred.T @ centred)
        columns = np.clip(np.rint(vertices[:, 0] + 95.5).astype(int), 0, 191)
        rows = np.clip(np.rint(95.5 - vertices[:, 1]).astype(int), 0, 191)
        mesh = trimesh.Trimesh(
            vertices, faces[:, ::-1], vertex_colors=image[rows, columns], process=False
        )
        clock.stop("pose and colours")
        for index, yaw_deg in enumerate(yaws_deg):
            rotation = rotation_yaw_pitch(np.radians(yaw_deg), 0.0)
            view = _render(mesh, image, rotation)
            clock.stop("render")
            if volumes:
                rotated = _rotate(volume, rotation)
                np.savez_compressed(output / f"{path.stem}-{index}.npz", volume=rotated)
                clock.stop("rotate and write")
            Image.fromarray(view).save(output / f"{path.stem}-{index}.png")
            clock.stop("save")
        np.savez_compressed(output / f"{path.stem}.npz", volume=volume >= 0.5)
        clock.stop("save")
    return spent


class _Clock:
    """Adds the time since the last call to the step that ended."""

    def __init__(self, spent: dict[str, float]) -> None:
        self._spent, self._last = spent, time.perf_counter()

    def stop(self, name: str) -> None:
        now = time.perf_counter()
        self._spent[name] += now - self._last
        self._last = now


def _render(mesh: trimesh.Trimesh, image: np.ndarray, rotation: np.ndarray) -> np.ndarray:
    pose = np.eye(4)
    pose[:3, :3] = rotation
    scene = pyrender.Scene(bg_color=(0, 0, 0, 1))
    scene.add(pyrender.Mesh.from_trimesh(mesh, smooth=False), pose=pose)
    corners = np.array([[-96, -96, -60], [96, -96, -60], [96, 96, -60], [-96, 96, -60]], float)
    plane = trimesh.Trimesh(
        corners,
        [[0, 1, 2], [0, 2, 3]],
        visual=trimesh.visual.TextureVisuals(
            uv=[[0, 0], [1, 0], [1, 1], [0, 1]], image=Image.fromarray(image)
        ),
        process=False,
    )
    scene.add(pyrender.Mesh.from_trimesh(plane, smooth=False), pose=pose)
    camera = np.eye(4)
    camera[2, 3] = 500
    scene.add(pyrender.OrthographicCamera(96, 96, znear=1, zfar=1000), pose=camera)
    renderer = pyrender.OffscreenRenderer(192, 192)
    try:
        return renderer.render(scene, flags=pyrender.RenderFlags.FLAT)[0]
    finally:
        renderer.delete()


def _rotate(volume: np.ndarray, rotation: np.ndarray) -> np.ndarray:
    # Indices are slice, row, column; there are two slices per pixel.
    axes = np.array([[0, 0, 2.0], [0, -1.0, 0], [1.0, 0, 0]])
    forward = axes @ rotation @ np.linalg.inv(axes)
    inverse = np.linalg.inv(forward)
    middle = (np.array(volume.shape) - 1) / 2
    return ndimage.affine_transform(volume, inverse, offset=middle - inverse @ middle, order=1)
