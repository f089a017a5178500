"""Regression of a face's pose from the depth map of its front.

The front of the solid is drawn as a small depth map in the face's own frame, as
far as it is known, and a small network predicts by how much that frame is off.
The frame is corrected and the map is drawn again: a coarse network starts from
the camera's frame, a fine one refines. The networks have seen heads of all ages
and builds, cut in many ways, so that the outline of a shape does not pass for its
pose. They are trained by ``jobs/train_pose_regressor.py``.
"""

from functools import cache
from importlib import resources
from typing import NamedTuple

import numpy as np
from scipy.spatial.transform import Rotation

from rayboot.geometry.alignment import Similarity

__all__ = [
    "GRID_SIZE",
    "X_RANGE",
    "Y_RANGE",
    "Z_MIDDLE",
    "Z_RANGE",
    "PoseRegression",
    "depth_map",
    "initial_frame",
    "regress_pose",
]

GRID_SIZE = 32
X_RANGE, Y_RANGE = (-1.25, 1.25), (-1.55, 0.95)
"""Extent of the depth map in the face's frame: that of the mean face, whose origin lies between
the eyes and whose unit is the distance between the outer eye corners."""

Z_RANGE = (-1.6, 1.2)
"""Depths that count as front, in the face's frame; what lies beyond is clipped or left out."""

Z_MIDDLE = -0.4
"""Depth that the map stores as zero, which is also the value of empty cells."""

_MIN_FILLED_NEIGHBOURS = 5
"""An empty cell with as many filled cells around it, itself included, is a gap between points."""

_NUM_POINTS = 6000
"""Approximate number of vertices that are drawn; more leave the map as it is."""

_NUM_FINE_STEPS = 3

_MAX_LOG_SCALE = 0.5
"""Largest change of the logarithm of the scale in one step."""


class PoseRegression(NamedTuple):
    """A regressed frame of the face.

    Attributes:
        frame: similarity from the mean head's frame to that of the points; the columns of its
            rotation are normal, up and gaze.
        error: (3,) expected standard deviations of the rotation's errors about the face's x
            (pitch), y and z axis, radians.
    """

    frame: Similarity
    error: np.ndarray


class _Network(NamedTuple):
    """Weights of one network: three convolutions with stride 2, then two linear layers."""

    convolutions: tuple[tuple[np.ndarray, np.ndarray], ...]
    linear: tuple[tuple[np.ndarray, np.ndarray], ...]


def regress_pose(points: np.ndarray) -> PoseRegression:
    """Returns the pose of the face that the points (N, 3) are the surface of.

    The front must be among the points; what lies behind it does not matter. The face looks
    roughly (within 50 degrees) along +z and is roughly upright.
    """
    points = np.asarray(points, np.float32)[:: max(1, len(points) // _NUM_POINTS)]
    frame = initial_frame(points)
    coarse, fine = _load_networks()
    for network in (coarse, *[fine] * _NUM_FINE_STEPS):
        prediction = _predict(network, depth_map(points, frame))
        frame = _corrected(frame, prediction)
    # The networks predict the logarithm of the variance of a Laplace distribution.
    return PoseRegression(frame, np.exp(0.5 * prediction[7:10]))


def initial_frame(points: np.ndarray) -> Similarity:
    """Returns the frame of a face that looks at the camera and has the points' extent."""
    low, high = np.quantile(points[::7], (0.02, 0.98), axis=0)
    scale = 0.6 * float(np.sqrt((high - low)[0] * (high - low)[1]))
    middle = (low + high) / 2
    origin = np.array([middle[0], middle[1] + 0.3 * scale, high[2] - 0.5 * scale])
    return Similarity(scale, np.eye(3), origin)


def depth_map(points: np.ndarray, frame: Similarity, size: int = GRID_SIZE) -> np.ndarray:
    """Draws the front of the points in the face's frame.

    Args:
        points: (N, 3) float32, px.
        frame: from the face's frame to that of the points.
        size: G, number of rows and of columns.

    Returns:
        (2, G, G) float32: depth of the foremost point of each cell, zero where there is none;
        and 1 where there is one. Rows increase with y.
    """
    rotation = (frame.rotation / frame.scale).astype(np.float32)
    local = (points - frame.translation.astype(np.float32)) @ rotation
    column = np.floor((local[:, 0] - X_RANGE[0]) / (X_RANGE[1] - X_RANGE[0]) * size)
    row = np.floor((local[:, 1] - Y_RANGE[0]) / (Y_RANGE[1] - Y_RANGE[0]) * size)
    drawn = (column >= 0) & (column < size) & (row >= 0) & (row < size)
    drawn &= local[:, 2] > Z_RANGE[0]
    cell = (row * size + column)[drawn].astype(np.intp)
    z = np.minimum(local[drawn, 2], np.float32(Z_RANGE[1]))
    # The last assignment to a cell remains, which is that of its foremost point.
    order = np.argsort(z, kind="stable")
    values = np.zeros(size * size, np.float32)
    filled = np.zeros(size * size, np.float32)
    values[cell[order]] = z[order] - np.float32(Z_MIDDLE)
    filled[cell] = 1
    return _fill_gaps(np.stack([values, filled]).reshape(2, size, size))


def _fill_gaps(drawn: np.ndarray) -> np.ndarray:
    """Gives an empty cell with enough filled neighbours their mean depth."""
    size = drawn.shape[-1]
    padded = np.pad(drawn, ((0, 0), (1, 1), (1, 1)))
    around = [padded[:, i : i + size, j : j + size] for i in range(3) for j in range(3)]
    total, count = np.sum(around, axis=0)
    gap = (drawn[1] == 0) & (count >= _MIN_FILLED_NEIGHBOURS)
    drawn[0][gap] = (total / np.maximum(count, 1))[gap]
    drawn[1][gap] = 1
    return drawn


def _corrected(frame: Similarity, prediction: np.ndarray) -> Similarity:
    """Applies a predicted rotation vector, shift and logarithm of a scale in the face's frame."""
    rotation = frame.rotation @ Rotation.from_rotvec(prediction[:3]).as_matrix()
    shift = frame.scale * (frame.rotation @ prediction[3:6])
    factor = np.exp(np.clip(prediction[6], -_MAX_LOG_SCALE, _MAX_LOG_SCALE))
    return Similarity(frame.scale * float(factor), rotation, frame.translation + shift)


def _predict(network: _Network, drawn: np.ndarray) -> np.ndarray:
    """Returns the network's ten predictions (10,) float64 for a depth map."""
    values = drawn
    for weight, bias in network.convolutions:
        padded = np.pad(values, ((0, 0), (1, 1), (1, 1)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
        patches = windows[:, ::2, ::2].transpose(0, 3, 4, 1, 2)
        side = patches.shape[-1]
        values = _product(weight, patches.reshape(weight.shape[1], -1)) + bias[:, None]
        values = np.maximum(values, 0).reshape(-1, side, side)
    (first, first_bias), (last, last_bias) = network.linear
    hidden = np.maximum(_product(first, values.reshape(-1, 1))[:, 0] + first_bias, 0)
    return np.asarray(_product(last, hidden[:, None])[:, 0] + last_bias, np.float64)


def _product(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Returns ``first @ second``, rounded alike with any number of threads, unlike BLAS."""
    product: np.ndarray = np.einsum("ij,jk->ik", first, second)
    return product


@cache
def _load_networks() -> tuple[_Network, _Network]:
    """Returns the coarse and the fine network that are shipped with the package."""
    source = resources.files("rayboot.geometry").joinpath("pose_regressor.npz")
    with source.open("rb") as file:
        arrays = {name: values.astype(np.float32) for name, values in np.load(file).items()}

    def layers(prefix: str, kind: str, count: int) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
        names = [f"{prefix}.{kind}{index}" for index in range(count)]
        return tuple((arrays[f"{name}.weight"], arrays[f"{name}.bias"]) for name in names)

    coarse, fine = (
        _Network(layers(name, "convolution", 3), layers(name, "linear", 2))
        for name in ("coarse", "fine")
    )
    return coarse, fine
