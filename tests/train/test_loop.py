import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from rayboot.errors import ShapeError
from rayboot.geometry.volume import pack_occupancy
from rayboot.models import VRN, VRNConfig
from rayboot.train.loop import StepRecord, learning_rate, train_epochs, train_step
from rayboot.train.objective import Objective
from rayboot.train.prefetch import read_ahead
from rayboot.train.sample_store import Batch, Sample, SampleStore
from rayboot.train.train_state import TrainState
from rayboot.train.training_config import OptimizerConfig
from rayboot.train.validation import validate

TINY = VRNConfig.compact().replace(
    resolution=32, slices=16, channels=16, stem_channels=8, stem_bottleneck=4
)
SHAPE = (16, 32, 32)


def disc_samples(count: int, seed: int = 0) -> SampleStore:
    """Images of a bright disc with a cylinder as target, which a network can learn."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:32, :32]
    samples = []
    for _ in range(count):
        centre, radius = rng.uniform(12, 20, 2), rng.uniform(5, 9)
        disc = np.hypot(x - centre[0], y - centre[1]) < radius
        image = np.where(disc[..., None], 220, 30).astype(np.uint8).repeat(3, axis=-1)
        volume = np.zeros(SHAPE, bool)
        volume[4:12] = disc
        samples.append(Sample(image, pack_occupancy(volume)))
    return SampleStore(samples, SHAPE, VRN(TINY).decode)


def fresh(config: OptimizerConfig, seed: int = 0) -> TrainState:
    torch.manual_seed(seed)
    return TrainState(VRN(TINY), config)


CONFIG = OptimizerConfig(
    batch_size=8, learning_rate=2e-3, num_epochs=2, lr_halving_epochs=1, precision="float32", seed=0
)


def test_the_learning_rate_rises_and_follows_a_cosine() -> None:
    config = OptimizerConfig(learning_rate=0.8, num_epochs=10, schedule="cosine", warmup_epochs=0.5)
    rates = [learning_rate(config, position) for position in (0, 0.25, 5, 10)]
    assert rates == pytest.approx([0, 0.4, 0.4, 0], abs=2e-3)


def test_frozen_statistics_stay_while_weights_change() -> None:
    state = fresh(CONFIG.replace(freeze_batch_norm=True, num_epochs=1))
    network = state.network
    before = {key: value.clone() for key, value in network.state_dict().items()}
    list(train_epochs(state, disc_samples(16), disc_samples(8)))
    changed = {
        key for key, value in network.state_dict().items() if not torch.equal(value, before[key])
    }
    assert changed and not any("running" in key for key in changed)


def test_the_learning_rate_is_halved_every_few_epochs() -> None:
    config = OptimizerConfig(learning_rate=0.8, lr_halving_epochs=5)
    assert [learning_rate(config, epoch) for epoch in (0, 4, 5, 9, 10)] == [0.8, 0.8, 0.4, 0.4, 0.2]


def test_the_loss_falls_and_the_iou_rises() -> None:
    state, val = fresh(CONFIG.replace(num_epochs=10, lr_halving_epochs=6)), disc_samples(8, seed=1)
    before = validate(state.network, val, CONFIG)
    records = list(train_epochs(state, disc_samples(64), val))
    assert records[-1].val_loss < 0.5 * before[0]
    assert records[-1].val_iou > 0.5 > before[1]


def test_one_seed_gives_one_loss_to_the_last_bit() -> None:
    runs = [
        [r.train_loss for r in train_epochs(fresh(CONFIG), disc_samples(24), disc_samples(8, 1))]
        for _ in range(2)
    ]
    assert runs[0] == runs[1]
    other = CONFIG.replace(seed=1)
    assert runs[0] != [
        r.train_loss for r in train_epochs(fresh(other), disc_samples(24), disc_samples(8, 1))
    ]


@pytest.mark.parametrize("ema_decay", [0.0, 0.7])
@pytest.mark.parametrize("num_steps", [1, 3, 5])
def test_a_run_resumes_at_any_step(tmp_path: Path, num_steps: int, ema_decay: float) -> None:
    """Weights, losses and metrics are those of an uninterrupted run."""
    augment = {"flip": True, "color_jitter": 0.1, "noise": 0.05, "occlusion": 0.2}
    config = CONFIG.replace(augment=augment, ema_decay=ema_decay)
    train, val = disc_samples(24), disc_samples(8, 1)
    uninterrupted = fresh(config)
    whole = [record._replace(waited=0.0) for record in train_epochs(uninterrupted, train, val)]

    class StoppedError(Exception):
        pass

    state, steps = fresh(config), list[StepRecord]()

    def interrupt(step: StepRecord) -> None:
        steps.append(step)
        if len(steps) == num_steps:
            torch.save([state.result.state_dict(), state.position()], tmp_path / "state.pt")
            raise StoppedError

    with pytest.raises(StoppedError):
        list(train_epochs(state, train, val, on_step=interrupt))
    weights, position = torch.load(tmp_path / "state.pt", weights_only=True)
    resumed = fresh(config, seed=99)
    resumed.restore(position, weights)
    rest = [record._replace(waited=0.0) for record in train_epochs(resumed, train, val)]
    assert rest == whole[-len(rest) :]
    for actual, expected in (
        (resumed.result, uninterrupted.result),
        (resumed.network, uninterrupted.network),
    ):
        for name, value in actual.state_dict().items():
            assert torch.equal(value, expected.state_dict()[name]), name


@pytest.mark.parametrize("distillation", [0.0, 0.5])
def test_a_step_in_parts_is_the_step_of_the_whole_batch(distillation: float) -> None:
    store = disc_samples(8).take(np.arange(8), np.linspace(0.5, 1.5, 8, dtype=np.float32))
    teacher = VRN(TINY) if distillation else None
    gradients, losses = [], []
    for micro_batch_size in (None, 3):
        config = CONFIG.replace(micro_batch_size=micro_batch_size)
        state = fresh(config)
        # Without batch normalisation of its own, a part is computed as within the batch.
        state.network.eval()
        ((batch, _),) = read_ahead(state.network, store, [np.arange(8)], state.device)
        batch = batch._replace(is_source=np.arange(8) < 4)
        objective = Objective(teacher, distillation)
        losses.append(float(train_step(state, batch, objective, np.random.default_rng(0))))
        gradients.append([parameter.grad for parameter in state.network.parameters()])
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)
    for whole, parts in zip(*gradients, strict=True):
        torch.testing.assert_close(parts, whole, rtol=1e-3, atol=1e-6)


def test_workers_exchange_the_gradients_of_a_step_once() -> None:
    entered = []

    class Wrapped:
        """As DistributedDataParallel: calls the network, exchanges outside of ``no_sync``."""

        def __init__(self, network: VRN) -> None:
            self.network = network

        def __call__(self, *args: object, **options: object) -> torch.Tensor:
            return self.network(*args, **options)

        @contextlib.contextmanager
        def no_sync(self) -> Iterator[None]:
            entered.append(True)
            yield

    network = VRN(TINY)
    state = TrainState(network, CONFIG.replace(micro_batch_size=3), Wrapped(network))
    ((batch, _),) = read_ahead(network, disc_samples(8), [np.arange(8)], state.device)
    train_step(state, batch, Objective(), np.random.default_rng(0))
    assert len(entered) == 2


def test_steps_are_reported() -> None:
    steps: list[StepRecord] = []
    state = fresh(CONFIG.replace(num_epochs=1))
    (record,) = train_epochs(state, disc_samples(24), disc_samples(8, 1), on_step=steps.append)
    assert [step[:2] for step in steps] == [(0, 3), (1, 3), (2, 3)]
    assert record.train_loss == np.mean([step.loss for step in steps])
    assert 0 <= record.waited < 1


def test_a_batch_that_cannot_be_read_stops_the_run() -> None:
    broken = disc_samples(24)
    broken._targets[5] = b"no bits"
    with pytest.raises(ShapeError, match="sample 5"):
        list(train_epochs(fresh(CONFIG), broken, disc_samples(8, 1)))


class FollowedStore(SampleStore):
    """Counts the batches that are read from it."""

    def __init__(self, store: SampleStore) -> None:
        self.__dict__ = dict(vars(store))
        self.num_read = threading.Semaphore(0)

    def read(self, indices: np.ndarray) -> Batch:
        batch = super().read(indices)
        self.num_read.release()
        return batch


def test_the_next_epoch_is_read_while_the_network_is_validated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    train, in_time = FollowedStore(disc_samples(24)), list[bool]()

    def validate_when_read(*_: object) -> tuple[float, float]:
        # The 3 batches of an epoch, and the first of the next one.
        in_time.append(all(train.num_read.acquire(timeout=20) for _ in range(4)))
        train.num_read.release()
        return 0.0, 0.0

    monkeypatch.setattr("rayboot.train.loop.validate", validate_when_read)
    epochs = train_epochs(fresh(CONFIG.replace(num_epochs=3)), train, disc_samples(8, 1))
    next(epochs)
    next(epochs)
    assert in_time == [True, True]
    epochs.close()


def test_a_finished_training_reads_nothing() -> None:
    train, state = FollowedStore(disc_samples(24)), fresh(CONFIG)
    state.next_epoch = CONFIG.num_epochs
    assert list(train_epochs(state, train, disc_samples(8, 1))) == []
    assert not train.num_read.acquire(timeout=0.2)
