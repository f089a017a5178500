from datetime import timedelta
from pathlib import Path

import pytest
import torch

from rayboot.train.checkpoint_schedule import CheckpointSchedule

CPU = torch.device("cpu")


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_checkpoint_is_due_every_few_steps() -> None:
    schedule = CheckpointSchedule(3, clock=Clock())
    assert [step for step in range(1, 8) if schedule.is_due(step, CPU)] == [3, 6]


def test_a_checkpoint_is_due_some_time_after_the_last_one() -> None:
    clock = Clock()
    schedule = CheckpointSchedule(1000, interval_s=300, clock=clock)
    due = []
    for step in range(1, 9):
        clock.now += 100
        if schedule.is_due(step, CPU):
            due.append(step)
            schedule.restart()
    assert due == [4, 8]


@pytest.fixture
def one_rank(tmp_path: Path) -> None:
    torch.distributed.init_process_group(
        "gloo",
        init_method=f"file://{tmp_path / 'store'}",
        rank=0,
        world_size=1,
        timeout=timedelta(seconds=60),
    )
    yield
    torch.distributed.destroy_process_group()


@pytest.mark.usefixtures("one_rank")
def test_workers_agree_on_the_time() -> None:
    clock = Clock()
    schedule = CheckpointSchedule(1000, interval_s=300, clock=clock)
    assert not schedule.is_due(1, CPU)
    clock.now += 301
    assert schedule.is_due(2, CPU)
