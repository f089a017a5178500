import pytest
import torch

from rayboot.models import HeadConfig, NetworkConfig, Reconstructor, VRNConfig, make_network
from rayboot.models.losses import depth_gradient_loss
from rayboot.train.objective import Objective
from rayboot.train.train_state import TrainState
from rayboot.train.training_config import OptimizerConfig

VRN_SIZES = VRNConfig.compact().replace(channels=16, stem_channels=8, stem_bottleneck=4)
HEAD_SIZES = HeadConfig(channels=(16, 16, 16, 16, 16), features=32)
IMAGES = torch.rand(4, 3, 96, 96, generator=torch.Generator().manual_seed(0))


def make(config: NetworkConfig, seed: int) -> Reconstructor:
    torch.manual_seed(seed)
    network = make_network(config).eval()
    # Far from zero, so that soft targets differ from binary ones.
    for parameter in network.parameters():
        parameter.data += 0.02 * torch.randn_like(parameter)
    return network


@pytest.mark.parametrize("config", [VRN_SIZES, HEAD_SIZES], ids=["vrn", "head"])
def test_photos_learn_from_the_teacher_and_views_from_their_targets(config: NetworkConfig) -> None:
    state = TrainState(make(config, 1), OptimizerConfig())
    teacher = make(config, 2)
    is_source = torch.tensor([True, False, False, True])
    with torch.no_grad():
        estimate = state.network(IMAGES, raw=True)
        targets = state.network.soft_targets(make(config, 3)(IMAGES, raw=True))
        soft = state.network.soft_targets(teacher(IMAGES, raw=True))
        loss = state.network.loss
        expected = 0.5 * (
            loss(estimate[~is_source], targets[~is_source])
            + 3.0 * loss(estimate[is_source], soft[is_source])
        )
        actual = Objective(teacher, 3.0).loss(state, IMAGES, targets, is_source, None)
        plain = Objective().loss(state, IMAGES, targets, is_source, None)
        expected_plain = loss(estimate, targets)
    assert actual.item() == pytest.approx(expected.item(), rel=1e-4)
    assert plain.item() == pytest.approx(expected_plain.item(), rel=1e-6)
    assert actual.item() != pytest.approx(plain.item(), rel=1e-2)


def test_views_are_weighted() -> None:
    config = VRN_SIZES
    state = TrainState(make(config, 1), OptimizerConfig())
    is_source = torch.tensor([True, False, False, False])
    weights = torch.tensor([1.0, 0.0, 2.0, 1.0])
    with torch.no_grad():
        targets = torch.rand(4, 96, 96, 96) < 0.5
        actual = Objective(make(config, 2), 0.0).loss(state, IMAGES, targets, is_source, weights)
        estimate = state.network(IMAGES[1:], raw=True)
        view_loss = state.network.loss(estimate, targets[1:], weights[1:])
    assert actual.item() == pytest.approx(0.75 * view_loss.item(), rel=1e-4)


def test_slopes_are_part_of_the_loss_of_photos_and_views() -> None:
    state, teacher = TrainState(make(VRN_SIZES, 1), OptimizerConfig()), make(VRN_SIZES, 2)
    is_source = torch.tensor([True, False, False, True])
    with torch.no_grad():
        targets = (torch.rand(4, 96, 96, 96) < 0.5).float()
        estimate = state.network(IMAGES, raw=True)
        soft = state.network.soft_targets(teacher(IMAGES, raw=True))
        expected = 0.5 * (
            depth_gradient_loss(estimate[~is_source], targets[~is_source])
            + 3.0 * depth_gradient_loss(estimate[is_source], soft[is_source])
        )
        with_slopes, without = (
            Objective(teacher, 3.0, weight).loss(state, IMAGES, targets, is_source, None)
            for weight in (0.2, 0.0)
        )
    assert expected > 0
    torch.testing.assert_close(with_slopes - without, 0.2 * expected, rtol=1e-3, atol=1e-6)


def test_the_teacher_does_not_learn() -> None:
    state = TrainState(make(HEAD_SIZES, 1), OptimizerConfig(learning_rate=0.01))
    teacher = make(HEAD_SIZES, 2)
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    objective = Objective(teacher, 1.0)
    state.network.train()
    targets = torch.zeros(4, 104)
    targets[:, [-12, -7, -2]] = 28.0
    objective.loss(state, IMAGES, targets, torch.ones(4, dtype=torch.bool), None).backward()
    state.optimizer.step()
    assert all(torch.equal(value, before[name]) for name, value in teacher.state_dict().items())
