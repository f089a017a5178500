"""A parametric regressor: a photo in, the coefficients and the pose of a head model out.

A small residual CNN. Nothing of it is VRN's: what is stored, turned and compared are
parameters. Its shapes become volumes as those of VRN's training data were made, so that
they are turned and drawn like any other.
"""

from functools import cache
from typing import ClassVar, NamedTuple, Self

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from rayboot.errors import ShapeError
from rayboot.geometry.face_solid import build_solid, fill_softly
from rayboot.geometry.head_model import head_model
from rayboot.models.network_config import HeadConfig
from rayboot.models.reconstructor import Reconstructor, require_images

__all__ = ["HeadRegressor", "pack_head"]

_MOST = 4.0
"""Coefficients stay below it, in deviations or strengths: heads beyond are none."""

_USUAL_SCALE = 0.29
"""Outer eye distance of the usual crop, share of its width."""


class HeadRegressor(Reconstructor):
    """Photo to head.

    Its estimates and targets are (B, I + E + 12) float32: I identity coefficients in
    deviations, E expression strengths, and the affine (3, 4), row-major, that carries the
    head's frame to the crop's, px.

    Args:
        config: sizes.
    """

    target_kind: ClassVar[str] = "head"
    config: HeadConfig

    def __init__(self, config: HeadConfig | None = None) -> None:
        super().__init__()
        self.config = config or HeadConfig()
        widths = self.config.channels
        blocks = [_Block(a, b) for a, b in zip(widths[:-1], widths[1:], strict=True)]
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
    def from_config(cls, config: HeadConfig) -> Self:  # type: ignore[override]
        """A network with fresh weights."""
        return cls(config)

    def forward(self, images: torch.Tensor, *, raw: bool = False) -> torch.Tensor:
        """Parameters (``raw``) or occupancy (B, D, S, S) of a batch of crops.

        Args:
            images: (B, 3, S, S) float in [0, 1], RGB, S = ``config.resolution``.
            raw: leave them parameters.

        Raises:
            ShapeError: the images have another shape, or are not floats.
        """
        require_images(images, self.config)
        features = self.picture(images).flatten(1)
        # A tenth of a pixel is more than bfloat16 can tell in a crop.
        with torch.autocast(images.device.type, enabled=False):
            numbers = self.parameters_of(features.float())
            estimate = _to_parameters(numbers, self.config.resolution)
        return estimate if raw else self.occupancy(estimate)

    def occupancy(self, estimate: torch.Tensor) -> torch.Tensor:
        """The face regions filled back to a plane, soft over about a pixel."""
        heads = estimate.detach().float().cpu().numpy()
        volumes = np.stack([_solid_of(head, self.config) for head in heads])
        return torch.from_numpy(volumes).to(estimate.device)

    def encode(self, estimate: torch.Tensor) -> list[bytes]:
        """Each row as little-endian float32."""
        return [pack_head(row) for row in estimate.detach().float().cpu().numpy()]

    def decode(self, payload: bytes, shape: tuple[int, int, int]) -> np.ndarray:
        """Parameters (I + E + 12,) float32.

        Raises:
            ShapeError: there are more or fewer.
        """
        count = sum(_num_coefficients()) + 12
        if len(payload) != 4 * count:
            raise ShapeError(f"a head has {count} float32, its target holds {len(payload)} bytes")
        return np.frombuffer(payload, "<f4")

    def transform_targets(self, targets: torch.Tensor, transforms: np.ndarray) -> torch.Tensor:
        """Heads of the same shape with their affines carried along."""
        coefficients, affine = _split(targets)
        moves = torch.from_numpy(transforms.astype(np.float32)).to(targets.device)
        turned = moves[:, :, :3] @ affine
        turned[:, :, 3] += moves[:, :, 3]
        return torch.cat([coefficients, turned.flatten(1)], dim=1)

    def soft_targets(self, estimate: torch.Tensor) -> torch.Tensor:
        """The same."""
        return estimate

    def mirror(self, targets: torch.Tensor) -> torch.Tensor:
        """Left expressions become right ones; every identity of the model is symmetric."""
        coefficients, affine = _split(targets)
        order = torch.from_numpy(_mirrored_order()).to(targets.device)
        flip = torch.tensor([-1.0, 1.0, 1.0], device=targets.device)
        # In front: the crop's x; behind: the head's, whose shape is its own mirror image.
        affine = flip[:, None] * affine * torch.cat([flip, flip.new_ones(1)])
        return torch.cat([coefficients[:, order], affine.flatten(1)], dim=1)

    def loss(
        self, estimate: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Mean distance of the face region's vertices, share of the outer eye distance."""
        region = _region(estimate.device)
        gap = _vertices(estimate, region) - _vertices(targets, region)
        unit = torch.linalg.det(_split(targets)[1][:, :, :3]) ** (1 / 3)
        distance = gap.square().sum(dim=2).add(1e-8).sqrt().mean(dim=1) / unit
        return (distance if weights is None else distance * weights).mean()

    def target_volumes(self, targets: torch.Tensor) -> torch.Tensor:
        """Heads as occupancy."""
        return self.occupancy(targets)

    def iou(self, estimate: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Intersection over union of their solids at 0.5, (B,); 0 where both are empty."""
        predicted, true = self.occupancy(estimate) >= 0.5, self.occupancy(targets) >= 0.5
        union = (predicted | true).sum(dim=(1, 2, 3)).clamp(min=1)
        return (predicted & true).sum(dim=(1, 2, 3)) / union


class _Block(nn.Module):
    """Two convolutions and the input, at half its width and height."""

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
    """Parameters (I + E + 12,) as a pairs data set keeps them."""
    return np.asarray(parameters, "<f4").tobytes()


def _num_coefficients() -> tuple[int, int]:
    model = head_model()
    return len(model.identity), len(model.expression)


def _to_parameters(numbers: torch.Tensor, size: int) -> torch.Tensor:
    """What the last layer says, as coefficients and an affine; zeros are the mean head."""
    coefficients = _MOST * torch.tanh(numbers[:, :-10] / _MOST)
    axes, scale, shift = numbers[:, -10:-4], numbers[:, -4], numbers[:, -3:]
    right = functional.normalize(axes[:, :3] + axes.new_tensor([1.0, 0.0, 0.0]), dim=1)
    up = axes[:, 3:] + axes.new_tensor([0.0, 1.0, 0.0])
    up = functional.normalize(up - (up * right).sum(1, keepdim=True) * right, dim=1)
    rotation = torch.stack([right, up, torch.linalg.cross(right, up)], dim=2)
    pixels = _USUAL_SCALE * size * torch.exp(scale.clamp(-1, 1))
    affine = torch.cat([pixels[:, None, None] * rotation, 0.25 * size * shift[:, :, None]], dim=2)
    return torch.cat([coefficients, affine.flatten(1)], dim=1)


def _split(parameters: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return parameters[:, :-12], parameters[:, -12:].unflatten(1, (3, 4))


class _Region(NamedTuple):
    """The face region's vertices: their mean (T, 3), and what each coefficient adds (C, T * 3)."""

    mean: torch.Tensor
    basis: torch.Tensor


@cache
def _region(device: torch.device) -> _Region:
    model = head_model()
    basis = np.concatenate([model.identity, model.expression])[:, model.front].astype(np.float32)
    mean = model.mean[model.front].astype(np.float32)
    return _Region(
        torch.from_numpy(mean).to(device),
        torch.from_numpy(basis.reshape(len(basis), -1)).to(device),
    )


def _vertices(parameters: torch.Tensor, region: _Region) -> torch.Tensor:
    """(B, T, 3), px of the crop."""
    coefficients, affine = _split(parameters.float())
    with torch.autocast(parameters.device.type, enabled=False):
        points = region.mean + (coefficients @ region.basis).unflatten(1, (-1, 3))
        return points @ affine[:, :, :3].transpose(1, 2) + affine[:, None, :, 3]


@cache
def _mirrored_order() -> np.ndarray:
    """Where each coefficient of a mirrored head comes from."""
    num_identity, _ = _num_coefficients()
    names = head_model().expression_names
    sides = {"Left": "Right", "Right": "Left"}
    order = list(range(num_identity))
    for name in names:
        side = next((side for side in sides if name.endswith(side)), "")
        other = name.removesuffix(side) + sides[side] if side else name
        order.append(num_identity + names.index(other))
    return np.array(order)


def _solid_of(parameters: np.ndarray, config: HeadConfig) -> np.ndarray:
    """Occupancy (D, S, S) float32 of one head."""
    model, size = head_model(), config.resolution
    num_identity, _ = _num_coefficients()
    affine = parameters[-12:].reshape(3, 4).astype(np.float64)
    head = model.vertices(parameters[:num_identity], parameters[num_identity:-12])
    unit = np.linalg.det(affine[:, :3]) ** (1 / 3)
    depth = config.solid_depth * size / 192 / unit
    solid = build_solid(head, model.faces, head[model.landmarks[:17]], depth)
    return fill_softly(solid, affine, (config.slices, size, size))
