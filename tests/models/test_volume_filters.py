import torch

from rayboot.models.volume_filters import smooth_depth, upsample_cubic


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


def test_depth_is_averaged_without_moving_a_slope() -> None:
    slope = torch.arange(40.0)[:, None, None].expand(2, 40, 5, 7)
    assert torch.allclose(smooth_depth(slope, 1.5)[:, 8:-8], slope[:, 8:-8], atol=1e-4)
    noise = torch.randn((1, 40, 30, 30), generator=torch.Generator().manual_seed(0))
    # The standard deviation of a mean with the weights of a Gaussian.
    assert (
        abs(float(smooth_depth(noise, 1.5)[:, 8:-8].std()) - (4 * torch.pi * 1.5**2) ** -0.25)
        < 0.02
    )


def test_half_precision_around_them_changes_nothing() -> None:
    volumes = 12 * torch.randn((1, 16, 8, 8), generator=torch.Generator().manual_seed(0))
    exact = upsample_cubic(smooth_depth(volumes, 1.5))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(upsample_cubic(smooth_depth(volumes, 1.5)), exact)


def test_filters_of_inference_serve_training_too() -> None:
    with torch.inference_mode():
        upsample_cubic(torch.zeros(1, 11, 13))
    field = torch.zeros((1, 11, 13), requires_grad=True)
    upsample_cubic(field).sum().backward()
    assert field.grad is not None and torch.allclose(field.grad.sum(), torch.tensor(4.0 * 11 * 13))
