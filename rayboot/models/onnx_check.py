"""The difference between a network and its ONNX file, in pixels of the surface.

Both reconstruct drawn heads: the mean head with a plain shading, which networks take for a face.
So a file can be checked wherever it is made, without a photo.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.spatial import cKDTree

from rayboot.geometry.camera import rotation_yaw_pitch
from rayboot.geometry.depth_map import draw_depth_map
from rayboot.geometry.head_model import load_head_model
from rayboot.geometry.isosurface import extract_solid_surface
from rayboot.models.head_regressor import HeadRegressor
from rayboot.models.onnx_export import INPUT_NAME, exportable, output_names
from rayboot.models.reconstructor import Reconstructor

__all__ = ["MAX_SURFACE_ERROR", "OnnxDifference", "check_onnx", "draw_head"]

MAX_SURFACE_ERROR = 0.05
"""Largest distance of surfaces that passes, px; exports of float32 differ by a thousandth."""

_YAWS_DEG = (-50.0, -20.0, 0.0, 30.0)

_EYE_DISTANCE = 0.29
"""Outer eye distance of a drawn head, as a fraction of the crop's width: that of photos."""

_SKIN, _BACKGROUND = np.array([205.0, 155.0, 130.0]), np.array([90.0, 110.0, 130.0])
_LIGHT = np.array([-0.3, 0.5, 0.8]) / np.linalg.norm([-0.3, 0.5, 0.8])


class OnnxDifference(NamedTuple):
    """Differences over all drawn heads.

    Attributes:
        surface_px: largest distance of a vertex to the surface of the other, px of the crop.
        value: largest difference of the first output's values.
    """

    surface_px: float
    value: float


def check_onnx(network: Reconstructor, path: Path) -> OnnxDifference:
    """Compares an ONNX file, which ONNX Runtime runs, with the network that it was made from.

    Args:
        network: the network on the CPU, in float32.
        path: the file.
    """
    import onnxruntime

    images = np.stack([draw_head(yaw, network.config.resolution) for yaw in _YAWS_DEG])
    inputs = np.ascontiguousarray(images.transpose(0, 3, 1, 2), np.float32) / 255
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    results: list[Any] = session.run(list(output_names(network)), {INPUT_NAME: inputs})
    with torch.no_grad():
        expected = exportable(network)(torch.from_numpy(inputs))
    outputs = [one.numpy() for one in (expected if isinstance(expected, tuple) else (expected,))]
    if isinstance(network, HeadRegressor):
        distance = float(np.linalg.norm(results[1] - outputs[1], axis=-1).max())
    else:
        distance = max(
            _surface_distance(one, other) for one, other in zip(results[0], outputs[0], strict=True)
        )
    return OnnxDifference(distance, float(np.abs(results[0] - outputs[0]).max()))


def _surface_distance(volume: np.ndarray, other: np.ndarray) -> float:
    """Returns the largest distance of a vertex of one surface to the vertices of the other."""
    points, others = (extract_solid_surface(one).vertices for one in (volume, other))
    there, back = cKDTree(others).query(points)[0], cKDTree(points).query(others)[0]
    return float(max(there.max(), back.max()))


def draw_head(yaw_deg: float, size: int) -> np.ndarray:
    """Returns a crop (size, size, 3) uint8 of the mean head, turned and plainly shaded."""
    model = load_head_model()
    scale = _EYE_DISTANCE * size
    vertices = scale * model.mean @ rotation_yaw_pitch(np.radians(yaw_deg), 0.0).T
    vertices = vertices - vertices[model.landmarks].mean(axis=0)
    low = np.full(2, -(size - 1) / 2)
    depth = draw_depth_map(vertices, model.faces, low, np.ones(2), size)[::-1]
    down, across = np.gradient(depth)
    normals = np.stack([-across, down, np.ones_like(depth)], axis=-1)
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    shade = 0.25 + 0.75 * np.clip(normals @ _LIGHT, 0, 1)
    image = np.where(np.isfinite(shade)[..., None], shade[..., None] * _SKIN, _BACKGROUND)
    return np.rint(image).astype(np.uint8)
