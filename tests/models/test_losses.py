import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from rayboot.errors import ShapeError
from rayboot.models.losses import depth_gradient_loss, voxel_cross_entropy

SHAPE = (3, 5, 8, 8)


def both_losses(
    logits: torch.Tensor, targets: torch.Tensor
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Returns value and gradient of our loss and of PyTorch's."""
    results = []
    for loss in (voxel_cross_entropy, binary_cross_entropy_with_logits):
        leaf = logits.clone().requires_grad_()
        value = loss(leaf, targets if loss is voxel_cross_entropy else targets.to(leaf.dtype))
        # A factor, as a gradient scaler or a weighted sum of losses would apply.
        (3 * value).backward()
        results.append((value.detach(), leaf.grad))
    return results


@pytest.mark.parametrize("soft", [False, True])
def test_value_and_gradient_equal_pytorchs(soft: bool) -> None:
    rng = torch.Generator().manual_seed(0)
    logits = 4 * torch.randn(SHAPE, generator=rng)
    draw = torch.rand(SHAPE, generator=rng)
    ours, theirs = both_losses(logits, draw if soft else draw < 0.2)
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-9)


def test_extreme_logits_give_finite_values() -> None:
    # The probability of the true class is 0 in float32, and its logarithm infinite.
    logits = torch.tensor([[[[-200.0, 200.0, -200.0, 200.0]]]])
    ours, theirs = both_losses(logits, torch.tensor([[[[True, False, False, True]]]]))
    assert ours[0] == theirs[0] == 100
    torch.testing.assert_close(ours[1], theirs[1])
    assert ours[1].isfinite().all()


def test_logits_are_not_modified() -> None:
    logits = torch.linspace(-3, 3, 32).reshape(1, 2, 4, 4)
    before = logits.clone()
    voxel_cross_entropy(logits, logits > 1)
    assert torch.equal(logits, before)


def test_half_precision_logits_keep_a_float32_value() -> None:
    rng = torch.Generator().manual_seed(1)
    logits = torch.randn(SHAPE, generator=rng).bfloat16()
    targets = torch.rand(SHAPE, generator=rng) < 0.5
    (value, gradient), _ = both_losses(logits, targets)
    exact = binary_cross_entropy_with_logits(logits.float(), targets.float())
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, exact, rtol=1e-6, atol=0)
    assert gradient.dtype == torch.bfloat16


def test_channels_last_logits_give_the_same_result() -> None:
    rng = torch.Generator().manual_seed(2)
    logits, targets = torch.randn(SHAPE, generator=rng), torch.rand(SHAPE, generator=rng)
    contiguous, _ = both_losses(logits, targets)
    channels_last, _ = both_losses(logits.contiguous(memory_format=torch.channels_last), targets)
    torch.testing.assert_close(contiguous, channels_last)


@pytest.mark.parametrize("shape", [(3, 5, 8, 9), (2, 5, 8, 8), (3, 5, 64)])
def test_shapes_must_agree(shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match="targets must have the logits' shape"):
        voxel_cross_entropy(torch.zeros(SHAPE), torch.zeros(shape))


def test_more_voxels_than_one_chunk() -> None:
    rng = torch.Generator().manual_seed(3)
    shape = (2, 70, 48, 48)
    logits, targets = torch.randn(shape, generator=rng), torch.rand(shape, generator=rng) < 0.3
    ours, theirs = both_losses(logits, targets)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-10)


def columns(heights: torch.Tensor) -> torch.Tensor:
    """Returns the occupancy (1, 80, h, w) of columns filled from the back, heights in slices."""
    order = torch.arange(80.0)[:, None, None]
    return (heights - order).clamp(0, 1)[None]


def logits_of(occupancy: torch.Tensor) -> torch.Tensor:
    return torch.logit(occupancy, eps=1e-6)


def slope(per_column: float) -> torch.Tensor:
    return 10 + per_column * torch.arange(8.0).expand(8, 8)


def test_a_shape_that_is_only_moved_has_the_same_slopes() -> None:
    loss = depth_gradient_loss(logits_of(columns(slope(1.5) + 6)), columns(slope(1.5)))
    assert loss < 1e-3


def test_the_loss_is_the_error_of_the_slopes() -> None:
    # Two slices are a pixel, and of the two axes one has no slope.
    loss = depth_gradient_loss(logits_of(columns(slope(0.0))), columns(slope(1.0)))
    torch.testing.assert_close(loss, torch.tensor(0.25), atol=1e-3, rtol=0)


def test_steps_at_an_outline_do_not_count() -> None:
    true = slope(0.0).clone()
    # At a distance of four columns, the farthest that is compared, it is a slope of 7.5.
    true[:, 4:] = 70
    flat = logits_of(columns(slope(0.0)))
    assert depth_gradient_loss(flat, columns(true)) < 1e-3
    true[:, 4:] = 0
    assert depth_gradient_loss(flat, columns(true)) < 1e-3


def test_samples_are_weighted_in_the_loss_of_slopes() -> None:
    logits = logits_of(columns(slope(0.0))).repeat(2, 1, 1, 1).requires_grad_()
    targets = torch.cat([columns(slope(1.0)), columns(slope(0.0))])
    both = depth_gradient_loss(logits, targets)
    first = depth_gradient_loss(logits, targets, torch.tensor([2.0, 0.0]))
    torch.testing.assert_close(first, 2 * both)
    first.backward()
    assert logits.grad[0].abs().sum() > 0 == logits.grad[1].abs().sum()
    assert logits.grad.isfinite().all()


def test_slopes_of_nothing_cost_nothing() -> None:
    empty = torch.zeros(1, 40, 8, 8)
    assert depth_gradient_loss(empty - 5, empty) == 0


def test_slopes_of_other_shapes_are_refused() -> None:
    with pytest.raises(ShapeError, match="logits' shape"):
        depth_gradient_loss(torch.zeros(1, 40, 8, 8), torch.zeros(1, 40, 8, 4))
