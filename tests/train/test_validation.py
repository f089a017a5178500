from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from rayboot.models import VRN, Reconstructor, UNetConfig, VolumetricUNet
from rayboot.train.surface_error import surface_errors
from rayboot.train.training_config import OptimizerConfig
from rayboot.train.validation import ious, validate
from tests.models.streams import PoisonedStream
from tests.train.test_loop import CONFIG, TINY, disc_samples

UNET = UNetConfig(resolution=32, slices=16, channels=(16, 16), num_blocks=1, head_channels=16)
MANY = CONFIG.replace(batch_size=4)


@pytest.fixture
def network() -> VRN:
    torch.manual_seed(0)
    return VRN(TINY)


def test_ious_are_those_of_validation(network: VRN) -> None:
    val = disc_samples(12, 1)
    values = ious(network, val, np.arange(12), CONFIG)
    assert values.mean() == pytest.approx(validate(network, val, CONFIG)[1], rel=1e-5)
    assert np.allclose(ious(network, val, np.array([7, 2]), CONFIG), values[[7, 2]])
    assert ious(network, val, np.arange(0), CONFIG).shape == (0,)


def test_losses_are_weighed_by_the_size_of_their_batch(network: VRN) -> None:
    # 12 samples in batches of 5, 5 and 2.
    val = disc_samples(12, 1)
    uneven, even = (validate(network, val, CONFIG.replace(batch_size=size)) for size in (5, 12))
    assert uneven == pytest.approx(even, rel=1e-5)


class ReadValues(TorchDispatchMode):
    """Counts the values of tensors that Python asks for, each of which waits for a GPU."""

    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += func is torch.ops.aten._local_scalar_dense.default
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("measure", [validate, ious])
def test_no_value_is_read_between_two_batches(network: VRN, measure: Any) -> None:
    val = disc_samples(24, 1)
    counts = []
    for size in (4, 24):
        config = CONFIG.replace(batch_size=size)
        with ReadValues() as mode:
            measure(network, val, *([np.arange(24)] if measure is ious else []), config)
        counts.append(mode.count)
    assert counts[0] == counts[1]


@pytest.mark.parametrize("network", [VRN(TINY), VolumetricUNet(UNET)], ids=["vrn", "unet"])
def test_measures_need_no_value_of_the_device(network: Reconstructor) -> None:
    # Tensors without data refuse whatever would have to wait for them.
    network = network.to("meta").eval()
    with torch.no_grad():
        estimate = network(torch.empty((2, 3, 32, 32), device="meta"), raw=True)
        targets = torch.empty(estimate.shape, device="meta")
        assert network.loss(estimate, targets).shape == ()
        assert network.iou(estimate, targets).shape == (2,)


class _Followed:
    """The end of a part of a stream's work, which notes when the host waits for it."""

    def __init__(self, ready: Any, events: list[str]) -> None:
        self._ready, self._events = ready, events

    def synchronize(self) -> None:
        self._events.append("read")
        self._ready.synchronize()


class FollowedStream:
    """A side stream whose results are wrong until the host waits for them; notes when it does."""

    def __init__(self, events: list[str]) -> None:
        self._stream, self._events = PoisonedStream(), events

    @contextmanager
    def queued(self) -> Iterator[None]:
        with self._stream.queued():
            yield

    def after_current(self, *tensors: torch.Tensor) -> None:
        self._stream.after_current(*tensors)

    def mark(self) -> _Followed:
        return _Followed(self._stream.mark(), self._events)


def follow(network: VRN, monkeypatch: pytest.MonkeyPatch, module: str) -> list[str]:
    """Notes ``queued`` for each pass through the network and ``read`` for each wait of the host."""
    events: list[str] = []
    network.register_forward_hook(lambda *_: events.append("queued"))
    monkeypatch.setattr(
        f"rayboot.train.{module}.open_side_stream", lambda _: FollowedStream(events)
    )
    return events


@pytest.mark.parametrize("measure", ["validate", "ious"])
def test_the_device_has_work_while_the_host_reads(
    network: VRN, monkeypatch: pytest.MonkeyPatch, measure: str
) -> None:
    val = disc_samples(24, 1)

    def run() -> list[float]:
        if measure == "validate":
            return list(validate(network, val, MANY))
        return ious(network, val, np.arange(24), MANY).tolist()

    expected = run()
    events = follow(network, monkeypatch, "validation")
    assert run() == expected
    queued, read = ["queued"], ["read"]
    # Not before two more batches are queued, and never more than these: they occupy memory.
    assert events == 2 * queued + 4 * [*queued, *read] + 2 * read


def test_surfaces_are_extracted_while_the_device_predicts_the_next_ones(
    network: VRN, monkeypatch: pytest.MonkeyPatch
) -> None:
    val = disc_samples(12, 1)
    val.yaws_deg = np.linspace(-85, 85, 12)
    config = OptimizerConfig(precision="float32")
    expected = surface_errors(network, val, config)
    assert len(expected) == 3
    events = follow(network, monkeypatch, "surface_error")
    assert surface_errors(network, val, config) == expected
    # Each of the three bands has two volumes to read.
    assert "".join(event[0] for event in events) == "qqrrqrrrr"


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_gpu_gives_the_values_of_the_cpu(network: VRN, precision: str) -> None:
    val, config = disc_samples(24, 1), MANY.replace(precision=precision)
    on_cpu = [*validate(network, val, config), *ious(network, val, np.arange(24), config)]
    network = network.to("cuda")
    on_gpu = [*validate(network, val, config), *ious(network, val, np.arange(24), config)]
    assert on_gpu == pytest.approx(on_cpu, rel=1e-2 if precision == "bfloat16" else 1e-4, abs=1e-3)
