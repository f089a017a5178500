"""A parametric regressor, from a crop of a photo to coefficients and pose of the head model.

It is a small residual CNN and shares no part with VRN: its targets, their transforms
and its loss are in terms of parameters. Its shapes are converted to volumes as those of
VRN's training data were, so they are rendered and evaluated like any others.
"""

import itertools
from functools import cache
from typing import ClassVar, NamedTuple, Self

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from rayboot.errors import ShapeError
from rayboot.geometry.face_solid import build_face_solid, fill_soft_volume
from rayboot.geometry.head_model import load_head_model
from rayboot.models.device_transfer import to_device_async
from rayboot.models.network_config import HeadConfig
from rayboot.models.reconstructor import Reconstructor, require_images

__all__ = [
    "HeadPoints",
    "HeadRegressor",
    "head_landmarks",
    "pack_head",
    "transform_heads",
    "unpack_head",
]

_MAX_COEFFICIENT = 4.0
"""Bound of the coefficients, in standard deviations or strengths; shapes beyond are not heads."""

_TYPICAL_SCALE = 0.29
"""Outer eye distance in a typical crop, as a fraction of the crop's width."""


class HeadRegressor(Reconstructor):
    """A network that predicts the parameters of a head.

    Its estimates and targets are (B, I + E + 12) float32: I identity coefficients in
    standard deviations, E expression strengths, and the affine (3, 4), row-major, from the
    head's frame to the crop's, px.

    Args:
        config: sizes of the network.
    """

    target_kind: ClassVar[str] = "head"
    config: HeadConfig

    def __init__(self, config: HeadConfig | None = None) -> None:
        super().__init__()
        self.config = config or HeadConfig()
        widths = self.config.channels
        blocks = [_Block(inputs, outputs) for inputs, outputs in itertools.pairwise(widths)]
        # The names of these two attributes are part of the stored weights' keys.
        self.picture = nn.Sequential(
            nn.Conv2d(3, widths[0], 5, stride=2, padding=2, bias=False),
            nn.BatchNorm2d(widths[0]),
            nn.ReLU(inplace=True),
            *blocks,
        )
        side = self.config.resolution // 2 ** len(widths)
        num_identity, num_expression = _num_coefficients()
        self.parameters_of = nn.Sequential(
            nn.Linear(widths[-1] * side**2, self.config.features),
            nn.ReLU(inplace=True),
            nn.Linear(self.config.features, num_identity + num_expression + 10),
        )

    @classmethod
    # Each kind of network accepts only its own config.
    def from_config(cls, config: HeadConfig) -> Self:  # type: ignore[override]
        """Returns a network with newly initialised weights."""
        return cls(config)

    def forward(self, images: torch.Tensor, *, raw: bool = False) -> torch.Tensor:
        """Returns the occupancy (B, D, S, S) of a batch of crops, or its parameters.

        Args:
            images: (B, 3, S, S) float in [0, 1], RGB, S = ``config.resolution``.
            raw: whether the parameters (B, I + E + 12) are returned.

        Raises:
            ShapeError: the images have another shape, or are not floats.
        """
        require_images(images, self.config)
        features = self.picture(images).flatten(1)
        # In float32, because bfloat16 does not resolve a tenth of a pixel in a crop.
        with torch.autocast(images.device.type, enabled=False):
            outputs = self.parameters_of(features.float())
            estimate = _to_parameters(outputs, self.config.resolution)
        return estimate if raw else self.occupancy(estimate)

    def occupancy(self, estimate: torch.Tensor) -> torch.Tensor:
        """Returns the face regions filled back to a plane, with a soft surface of about a pixel."""
        heads = estimate.detach().float().cpu().numpy()
        volumes = np.stack([_head_occupancy(head, self.config) for head in heads])
        return torch.from_numpy(volumes).to(estimate.device)

    def encode(self, estimate: torch.Tensor) -> list[bytes]:
        """Returns each row as little-endian float32."""
        return [pack_head(row) for row in estimate.detach().float().cpu().numpy()]

    def decode(self, payload: bytes, shape: tuple[int, int, int]) -> np.ndarray:
        """Returns the parameters (I + E + 12,) float32; ``shape`` is not used.

        Raises:
            ShapeError: the payload has another number of bytes.
        """
        return unpack_head(payload)

    def transform_targets(self, targets: torch.Tensor, transforms: np.ndarray) -> torch.Tensor:
        """Returns the heads with unchanged coefficients and composed affines."""
        return transform_heads(targets, transforms)

    def soft_targets(self, estimate: torch.Tensor) -> torch.Tensor:
        """Returns the estimates themselves, whose parameters are targets already."""
        return estimate

    def mirror(self, targets: torch.Tensor) -> torch.Tensor:
        """Returns the mirrored heads: left expressions become right ones and vice versa.

        Every identity of the model is symmetric, so its coefficients are unchanged.
        """
        coefficients, affine = _split(targets)
        order = to_device_async(_mirrored_order(), targets.device)
        flip = to_device_async(np.array([-1, 1, 1], np.float32), targets.device)
        # The left factor flips x of the crop; the right one flips x of the head, whose
        # coefficients are mirrored instead.
        affine = flip[:, None] * affine * torch.cat([flip, flip.new_ones(1)])
        return torch.cat([coefficients[:, order], affine.flatten(1)], dim=1)

    def loss(
        self, estimate: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Returns the mean distance of the face region's vertices.

        It is a fraction of the outer eye distance.
        """
        region = _region(estimate.device)
        difference = _vertices(estimate, region) - _vertices(targets, region)
        eye_distance = torch.linalg.det(_split(targets)[1][:, :, :3]) ** (1 / 3)
        distance = difference.square().sum(dim=2).add(1e-8).sqrt().mean(dim=1) / eye_distance
        loss: torch.Tensor = (distance if weights is None else distance * weights).mean()
        return loss

    def target_volumes(self, targets: torch.Tensor) -> torch.Tensor:
        """Returns the occupancy of the heads."""
        return self.occupancy(targets)

    def iou(self, estimate: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Returns the intersection over union (B,) at 0.5; 0 where both are empty."""
        predicted, true = self.occupancy(estimate) >= 0.5, self.occupancy(targets) >= 0.5
        union = (predicted | true).sum(dim=(1, 2, 3)).clamp(min=1)
        return (predicted & true).sum(dim=(1, 2, 3)) / union


class _Block(nn.Module):
    """A residual block of two convolutions that halves width and height."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.short = nn.Conv2d(inputs, outputs, 1, stride=2, bias=False)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return functional.relu(self.branch(features) + self.short(features))


def pack_head(parameters: np.ndarray) -> bytes:
    """Returns parameters (I + E + 12,) as the bytes that a pairs data set stores."""
    return np.asarray(parameters, "<f4").tobytes()


class HeadPoints(nn.Module):
    """The points of heads, as tensor operations alone."""

    def __init__(self) -> None:
        super().__init__()
        model = load_head_model()
        offsets = np.concatenate([model.identity, model.expression])
        for name, chosen in (("vertices", model.front), ("landmarks", model.landmarks)):
            mean = torch.from_numpy(model.mean[chosen].astype(np.float32))
            basis = offsets[:, chosen].astype(np.float32).reshape(len(offsets), -1)
            self.register_buffer(f"{name}_mean", mean)
            self.register_buffer(f"{name}_basis", torch.from_numpy(basis))

    def forward(self, parameters: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Returns the vertices (B, T, 3) of the face region and the landmarks (B, 68, 3), px."""
        vertices = _Region(self.vertices_mean, self.vertices_basis)  # type: ignore[arg-type]
        landmarks = _Region(self.landmarks_mean, self.landmarks_basis)  # type: ignore[arg-type]
        return _vertices(parameters, vertices), _vertices(parameters, landmarks)


def unpack_head(payload: bytes) -> np.ndarray:
    """Returns the parameters (I + E + 12,) float32 of stored bytes, not writable.

    Raises:
        ShapeError: the payload has another number of bytes.
    """
    count = sum(_num_coefficients()) + 12
    if len(payload) != 4 * count:
        raise ShapeError(
            f"a head target must be {count} float32 ({4 * count} bytes), got {len(payload)} bytes"
        )
    return np.frombuffer(payload, "<f4")


def transform_heads(heads: torch.Tensor, transforms: np.ndarray) -> torch.Tensor:
    """Returns the heads (B, I + E + 12) under transforms (B, 3, 4) of their frames."""
    coefficients, affine = _split(heads)
    view_from_source = to_device_async(transforms.astype(np.float32), heads.device)
    composed = view_from_source[:, :, :3] @ affine
    composed[:, :, 3] += view_from_source[:, :, 3]
    return torch.cat([coefficients, composed.flatten(1)], dim=1)


def head_landmarks(payload: bytes) -> np.ndarray:
    """Returns the 68 landmarks (68, 3) float32 of a head, px, frame of the crop.

    Args:
        payload: the head's parameters, as :func:`pack_head` returns them.
    """
    parameters = unpack_head(payload)
    num_identity, _ = _num_coefficients()
    model, affine = load_head_model(), parameters[-12:].reshape(3, 4)
    head = model.vertices(parameters[:num_identity], parameters[num_identity:-12])
    return np.asarray(head[model.landmarks] @ affine[:, :3].T + affine[:, 3], np.float32)


def _num_coefficients() -> tuple[int, int]:
    """Returns the numbers of identity and of expression coefficients."""
    model = load_head_model()
    return len(model.identity), len(model.expression)


def _to_parameters(outputs: torch.Tensor, size: int) -> torch.Tensor:
    """Returns the parameters that the last layer's outputs stand for; zeros are the mean head.

    Args:
        outputs: (B, I + E + 10), coefficients, two axes of the rotation, scale and shift.
        size: width of the crop, px.
    """
    coefficients = _MAX_COEFFICIENT * torch.tanh(outputs[:, :-10] / _MAX_COEFFICIENT)
    axes, scale, shift = outputs[:, -10:-4], outputs[:, -4], outputs[:, -3:]
    right = functional.normalize(axes[:, :3] + axes.new_tensor([1.0, 0.0, 0.0]), dim=1)
    up = axes[:, 3:] + axes.new_tensor([0.0, 1.0, 0.0])
    up = functional.normalize(up - (up * right).sum(1, keepdim=True) * right, dim=1)
    rotation = torch.stack([right, up, torch.linalg.cross(right, up)], dim=2)
    pixels = _TYPICAL_SCALE * size * torch.exp(scale.clamp(-1, 1))
    affine = torch.cat([pixels[:, None, None] * rotation, 0.25 * size * shift[:, :, None]], dim=2)
    return torch.cat([coefficients, affine.flatten(1)], dim=1)


def _split(parameters: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns the coefficients (B, I + E) and the affines (B, 3, 4)."""
    return parameters[:, :-12], torch.unflatten(parameters[:, -12:], 1, (3, 4))


class _Region(NamedTuple):
    """The head model restricted to the vertices of the face region.

    Attributes:
        mean: (T, 3) mean shape.
        basis: (C, T * 3) offsets by coefficient.
    """

    mean: torch.Tensor
    basis: torch.Tensor


@cache
def _region(device: torch.device) -> _Region:
    model = load_head_model()
    basis = np.concatenate([model.identity, model.expression])[:, model.front].astype(np.float32)
    mean = model.mean[model.front].astype(np.float32)
    return _Region(
        torch.from_numpy(mean).to(device),
        torch.from_numpy(basis.reshape(len(basis), -1)).to(device),
    )


def _vertices(parameters: torch.Tensor, region: _Region) -> torch.Tensor:
    """Returns the vertices (B, T, 3) of the face region, px, frame of the crop."""
    coefficients, affine = _split(parameters.float())
    with torch.autocast(parameters.device.type, enabled=False):
        points = region.mean + torch.unflatten(coefficients @ region.basis, 1, (-1, 3))
        vertices: torch.Tensor = points @ affine[:, :, :3].transpose(1, 2) + affine[:, None, :, 3]
        return vertices


@cache
def _mirrored_order() -> np.ndarray:
    """Returns the index (I + E,) of the coefficient that each one of a mirrored head copies."""
    num_identity, _ = _num_coefficients()
    names = load_head_model().expression_names
    sides = {"Left": "Right", "Right": "Left"}
    order = list(range(num_identity))
    for name in names:
        side = next((side for side in sides if name.endswith(side)), "")
        other = name.removesuffix(side) + sides[side] if side else name
        order.append(num_identity + names.index(other))
    return np.array(order)


def _head_occupancy(parameters: np.ndarray, config: HeadConfig) -> np.ndarray:
    """Returns the occupancy (D, S, S) float32 of one head."""
    model, size = load_head_model(), config.resolution
    num_identity, _ = _num_coefficients()
    affine = parameters[-12:].reshape(3, 4).astype(np.float64)
    head = model.vertices(parameters[:num_identity], parameters[num_identity:-12])
    eye_distance = np.linalg.det(affine[:, :3]) ** (1 / 3)
    depth = config.solid_depth * size / 192 / eye_distance
    solid = build_face_solid(head, model.faces, head[model.landmarks[:17]], depth)
    return fill_soft_volume(solid, affine, (config.slices, size, size))
