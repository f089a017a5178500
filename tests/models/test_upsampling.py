import torch

from rayboot.models.upsampling import upsample_cubic


def cells(count: int) -> torch.Tensor:
    """Centres of ``count`` cells from -1 to 1."""
    return (torch.arange(count, dtype=torch.float64) + 0.5) * (2 / count) - 1


def surface(size: int) -> torch.Tensor:
    x, y = cells(size), cells(size)[:, None]
    return 3 * x - 2 * y + 4 * x.square() - 5 * y.square() + x * y


def test_straight_and_parabolic_surfaces_are_reproduced() -> None:
    enlarged = upsample_cubic(surface(24).expand(2, 3, 24, 24))
    assert enlarged.shape == (2, 3, 48, 48)
    inner = slice(4, -4)
    assert torch.allclose(enlarged[1, 2, inner, inner], surface(48)[inner, inner], atol=1e-6)


def test_height_and_width_may_differ() -> None:
    field = surface(24)[:, 4:14]
    inner = slice(4, -4)
    expected = surface(48)[:, 8:28][inner, inner]
    assert torch.allclose(upsample_cubic(field)[inner, inner], expected, atol=1e-6)


def test_borders_go_on() -> None:
    assert torch.allclose(upsample_cubic(torch.full((1, 5, 7), 2.5)), torch.tensor(2.5))


def test_a_mirrored_field_gives_the_mirrored_result() -> None:
    field = torch.rand(1, 6, 10, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(upsample_cubic(field.flip(2)), upsample_cubic(field).flip(2), atol=1e-6)
