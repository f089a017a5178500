"""An ellipsoid, smooth photos and a frontal pose, whose renderings are known."""

import numpy as np

from rayboot.geometry.isosurface import extract_surface
from rayboot.geometry.mesh import Mesh
from rayboot.geometry.pose import FacePose

SIZE, SLICES = 96, 96


def ellipsoid(radii: tuple[float, float, float] = (24.0, 30.0, 20.0)) -> Mesh:
    """Returns the surface of a solid in the middle of the crop."""
    slices, rows, columns = np.meshgrid(
        *(np.arange(n) for n in (SLICES, SIZE, SIZE)), indexing="ij"
    )
    x = columns - (SIZE - 1) / 2
    y = (SIZE - 1) / 2 - rows
    z = (slices - (SLICES - 1) / 2) / 2
    radius = np.sqrt((x / radii[0]) ** 2 + (y / radii[1]) ** 2 + (z / radii[2]) ** 2)
    return extract_surface((1 / (1 + np.exp(20 * (radius - 1)))).astype(np.float32))


def smooth_photo(seed: int = 0, size: int = SIZE) -> np.ndarray:
    """Returns a photo (size, size, 3) uint8 without edges finer than a few pixels."""
    rng = np.random.default_rng(seed)
    axis = np.linspace(0, 2 * np.pi, size)
    waves = [
        np.sin(axis * rng.uniform(0.5, 3) + rng.uniform(0, 6))[:, None]
        * np.cos(axis * rng.uniform(0.5, 3) + rng.uniform(0, 6))[None]
        for _ in range(3)
    ]
    return (128 + 100 * np.stack(waves, axis=-1)).astype(np.uint8)


def frontal_pose() -> FacePose:
    """Returns the pose of a solid that looks straight at the camera."""
    x, y, z = np.eye(3)
    return FacePose(x, z, y, np.zeros(3), 1.0)
