"""Synthetic solids of any depth and pose, as soft volumes."""

from typing import NamedTuple

import numpy as np
from scipy import ndimage

from rayboot.geometry.crop import landmark_crop
from rayboot.geometry.face_solid import FaceSolid, build_face_solid, fill_volume, solid_bounds
from rayboot.geometry.head_model import load_head_model
from rayboot.synthesis import SynthesisConfig
from rayboot.synthesis.sampling import FaceSample, draw_sample


class SoftSolid(NamedTuple):
    """A volume (D, H, W) float32 and the sample whose pose it has."""

    volume: np.ndarray
    sample: FaceSample


def soft_solid(identity: int, depth: float, max_yaw_deg: float = 30.0) -> SoftSolid:
    """A head of seed 77 as a solid ``depth`` px deep (of a 192 px crop), 96 px wide crop."""
    size, slices = 96, 100
    config = SynthesisConfig(
        num_identities=100, yaw={"kind": "uniform", "max_deg": max_yaw_deg}, seed=77
    )
    model = load_head_model()
    sample = draw_sample(config, model, identity, 0)
    head = sample.vertices(model)
    points = (head @ sample.rotation.T)[model.landmarks]
    # The scale that the crop of a photo of this pose would have.
    scale = landmark_crop(points[:, :2] * (1, -1), size)[0, 0]
    solid = build_face_solid(
        head, model.faces, head[model.landmarks[:17]], depth * size / 192 / scale
    )
    shift = np.append(-scale * points[:, :2].mean(axis=0), 0.0)
    transform = np.column_stack([scale * sample.rotation, shift])
    return SoftSolid(soft_volume(solid, transform, (slices, size, size)), sample)


def soft_volume(solid: FaceSolid, transform: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """Fills a volume (D, H, W), centred in depth, as soft over about a pixel as a prediction is."""
    transform = transform.copy()
    transform[2, 3] = -solid_bounds(solid, np.column_stack([transform[:, :3], np.zeros(3)]))[
        :, 2
    ].mean()
    occupied = fill_volume(solid, transform, shape).astype(np.float32)
    # In depth a pixel has two slices.
    return ndimage.gaussian_filter(occupied, (1.2, 0.6, 0.6))
