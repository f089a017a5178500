from pathlib import Path

import pytest
import torch

from rayboot.models import VRN, VRNConfig
from rayboot.train.train_state import TrainState, load_position
from rayboot.train.training_config import OptimizerConfig

TINY = VRNConfig.compact().replace(
    resolution=32, slices=16, channels=16, stem_channels=8, stem_bottleneck=4
)


def step(state: TrainState) -> None:
    loss = state.forward(torch.rand(2, 3, 32, 32, device=state.device), raw=True).square().mean()
    state.optimizer.zero_grad()
    loss.backward()
    state.optimizer.step()
    state.after_step()


def test_without_an_average_the_network_is_the_result() -> None:
    state = TrainState(VRN(TINY), OptimizerConfig())
    assert state.result is state.network


def test_an_average_follows_the_steps() -> None:
    state = TrainState(VRN(TINY), OptimizerConfig(ema_decay=0.75, learning_rate=0.01))
    weights, expected = [], None
    for _ in range(4):
        step(state)
        value = next(state.network.parameters()).detach().clone()
        weights.append(value)
        # The first step's weights are where the average begins.
        expected = value if expected is None else 0.75 * expected + 0.25 * value
    assert expected is not None
    averaged = next(state.result.parameters())
    assert torch.allclose(averaged, expected, atol=1e-6)
    assert not torch.allclose(averaged, weights[-1], atol=1e-4)


def test_a_position_of_a_gpu_is_read_and_resumed_without_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = OptimizerConfig(ema_decay=0.75, learning_rate=0.01)
    before = TrainState(VRN(TINY), config)
    step(before)
    # The file of a training on a GPU that is not here: every storage is tagged with its device.
    with monkeypatch.context() as patch:
        patch.setattr("torch.serialization.location_tag", lambda _storage: "cuda:63")
        torch.save(before.position(), tmp_path / "state.pt")
    with pytest.raises(RuntimeError, match="CUDA"):
        torch.load(tmp_path / "state.pt", weights_only=True)
    after = TrainState(VRN(TINY), config)
    after.restore(load_position(tmp_path / "state.pt"), before.result.state_dict())
    for resumed, saved in zip(after.network.parameters(), before.network.parameters(), strict=True):
        assert torch.equal(resumed, saved)
        moments = after.optimizer.state[resumed]["exp_avg"]
        assert torch.equal(moments, before.optimizer.state[saved]["exp_avg"])


@pytest.mark.gpu
@pytest.mark.parametrize("device", ["cuda", "cpu"])
def test_a_training_on_a_gpu_resumes_there_and_on_a_cpu(tmp_path: Path, device: str) -> None:
    config = OptimizerConfig(ema_decay=0.75, learning_rate=0.01)
    before = TrainState(VRN(TINY).to("cuda"), config)
    step(before)
    torch.save(before.position(), tmp_path / "state.pt")
    after = TrainState(VRN(TINY).to(device), config)
    after.restore(load_position(tmp_path / "state.pt"), before.result.state_dict())
    for resumed, saved in zip(after.network.parameters(), before.network.parameters(), strict=True):
        assert torch.equal(resumed.cpu(), saved.cpu())
        moments = after.optimizer.state[resumed]["exp_avg"]
        assert moments.device.type == device
        assert torch.equal(moments.cpu(), before.optimizer.state[saved]["exp_avg"].cpu())
    step(after)
