"""What torch.compile makes of the networks, seen with backends that need no GPU and no compiler."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch

from rayboot.models import VRN, Reconstructor, VRNConfig
from rayboot.models.head_regressor import HeadRegressor
from rayboot.models.network_config import HeadConfig, InferenceConfig
from rayboot.models.predictor import Predictor

IMAGES = np.random.default_rng(5).integers(0, 256, (7, 32, 32, 3), np.uint8)


class CountGraphs:
    """A backend that runs graphs as they are, and counts those that it was given."""

    def __init__(self) -> None:
        self.num_nodes: list[int] = []

    def __call__(self, graph: torch.fx.GraphModule, inputs: list[Any]) -> Callable[..., Any]:
        self.num_nodes.append(len(graph.graph.nodes))
        return graph.forward


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch) -> Iterator[CountGraphs]:
    """Predictors compile with a backend that counts."""
    backend = CountGraphs()
    monkeypatch.setattr(
        "rayboot.models.predictor.compile_on_gpu",
        lambda network, device: torch.compile(network, backend=backend),
    )
    torch.compiler.reset()
    yield backend
    torch.compiler.reset()


def make_network(kind: str, config: VRNConfig) -> Reconstructor:
    """A network with as few blocks as possible, since each is traced."""
    torch.manual_seed(1)
    if kind == "vrn":
        return VRN(config.replace(num_modules=1, levels=1))
    return HeadRegressor(HeadConfig(resolution=32, slices=12))


@pytest.mark.parametrize("kind", ["vrn", "head"])
def test_a_network_is_one_graph_for_full_and_partial_batches(
    kind: str, tiny_config: VRNConfig, graphs: CountGraphs
) -> None:
    network = make_network(kind, tiny_config)
    config = InferenceConfig(precision="float32")
    expected = Predictor(network, config, batch_size=4).predict(IMAGES)
    assert not graphs.num_nodes
    compiled = Predictor(network, config.replace(compile=True), batch_size=4)
    for count in (7, 4, 1):
        np.testing.assert_array_equal(compiled.predict(IMAGES[:count]), expected[:count])
    # A break in the graph, or another batch size, would have made further ones.
    assert len(graphs.num_nodes) == 1 and graphs.num_nodes[0] > 10


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["vrn", "head"])
def test_the_gradients_of_a_compiled_network_are_those_of_the_network(
    kind: str, tiny_config: VRNConfig
) -> None:
    network = make_network(kind, tiny_config).train()
    images = torch.from_numpy(IMAGES[:4]).permute(0, 3, 1, 2).float().div_(255)
    targets = torch.rand((4, 12, 32, 32), generator=torch.Generator().manual_seed(2)) > 0.5

    def gradients(forward: Callable[..., torch.Tensor]) -> list[torch.Tensor]:
        network.zero_grad(set_to_none=True)
        estimate = forward(images, raw=True)
        network.loss(estimate, network_targets(network, estimate, targets)).backward()
        return [weight.grad for weight in network.parameters() if weight.grad is not None]

    state = {key: value.clone() for key, value in network.state_dict().items()}
    expected = gradients(network)
    # Batch normalisation has moved its averages.
    network.load_state_dict(state)
    torch.compiler.reset()
    # Traces the backward pass as well, and runs both with PyTorch's own operations.
    actual = gradients(torch.compile(network, backend="aot_eager"))
    torch.compiler.reset()
    assert len(actual) == len(expected) > 5
    for one, other in zip(actual, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def network_targets(
    network: Reconstructor, estimate: torch.Tensor, volumes: torch.Tensor
) -> torch.Tensor:
    """Targets of the network's own kind: volumes, or the parameters of another image's head."""
    return volumes if isinstance(network, VRN) else estimate.detach().roll(1, 0)
