import numpy as np
import torch

from rayboot.geometry.isosurface import extract_solid_surface
from rayboot.models import UNetConfig
from rayboot.models.unet import MAX_LOGIT, VolumetricUNet

SLICES, COLUMNS = 112, 48


def network() -> VolumetricUNet:
    return VolumetricUNet(UNetConfig(channels=(16, 16), num_blocks=1, head_channels=16))


def logits_of(depth: torch.Tensor) -> torch.Tensor:
    """Logits (1, D, h, w) of a solid that ends at the given slices (h, w)."""
    slices = torch.arange(SLICES, dtype=torch.float32)[:, None, None]
    return (depth - slices)[None].clamp(-MAX_LOGIT, MAX_LOGIT)


def front(field: torch.Tensor) -> torch.Tensor:
    """Slices (h, w) at which a field (D, h, w) falls through zero."""
    last = (field > 0).sum(dim=0) - 1
    inner, outer = (field.gather(0, index[None])[0] for index in (last, last + 1))
    return last + inner / (inner - outer)


def test_noise_between_slices_is_averaged_and_the_surface_stays() -> None:
    generator = torch.Generator().manual_seed(0)
    depth = 60 + 10 * torch.rand((COLUMNS, COLUMNS), generator=generator)
    clean = logits_of(depth)
    noise = 0.5 * torch.randn(clean.shape, generator=generator)
    exact = network().surface_field(clean, 0.5)[0]
    assert torch.allclose(front(exact), depth, atol=1e-3)
    before = (front((clean + noise)[0]) - depth).std()
    after = (front(network().surface_field(clean + noise, 0.5)[0]) - depth).std()
    assert after < 0.6 * before


def test_the_tip_of_a_nose_survives_the_enlargement() -> None:
    x = torch.arange(COLUMNS) - 23.5
    distance = torch.hypot(x, x[:, None])
    # 16 slices, 8 px, high; 3 columns, 6 px, wide at half height.
    depth = 50 + 16 * torch.exp(-0.5 * (distance / 1.3).square())
    occupancy = network().occupancy(logits_of(depth))[0].numpy()
    mesh = extract_solid_surface(occupancy)
    tip = 50 + 16 * float(np.exp(-0.5 * (0.25**2 + 0.25**2) / 1.3**2))
    highest = (mesh.vertices[:, 2].max() * 2) + (SLICES - 1) / 2
    assert abs(highest - tip) < 1


def test_a_slope_has_no_stairs() -> None:
    x = torch.arange(COLUMNS, dtype=torch.float32)
    occupancy = network().occupancy(logits_of((20 + 1.5 * x).expand(COLUMNS, COLUMNS)))[0]
    profile = front(occupancy - 0.5)[COLUMNS, 16:-16]
    assert torch.allclose(profile.diff(), torch.tensor(0.75), atol=0.01)


def test_occupancy_is_half_where_the_logit_is_zero() -> None:
    occupancy = network().occupancy(torch.zeros(2, SLICES, COLUMNS, COLUMNS))
    assert occupancy.shape == (2, SLICES, 2 * COLUMNS, 2 * COLUMNS)
    assert torch.allclose(occupancy, torch.tensor(0.5))
    assert float(network().occupancy(torch.full((1, SLICES, 8, 8), 99.0)).max()) == 1
