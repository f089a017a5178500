"""The disk of the outputs becomes full during a run."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.cluster import SmallDisk, small_disk
from tests.chaos.conftest import Begin, End
from tests.chaos.runs import FinetuneRun, GenerateRun, Run

FREE_BYTES = 60_000
"""Enough for small state files, but not for more rows or a checkpoint."""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "disk", megabytes=256) as disk:
        yield disk


@pytest.fixture
def output(disk: SmallDisk) -> str:
    return str(disk.folder)


def test_a_full_disk_during_generate(
    disk: SmallDisk, generate: GenerateRun, begin: Begin, finish: End
) -> None:
    fill_disk(disk, generate, begin, finish)


def test_a_full_disk_during_finetune(
    disk: SmallDisk, finetune: FinetuneRun, begin: Begin, finish: End
) -> None:
    fill_disk(disk, finetune, begin, finish)


def fill_disk(disk: SmallDisk, run: Run, begin: Begin, finish: End) -> None:
    event = begin("disk of the output full", run)
    event.happens()
    disk.fill(leave=FREE_BYTES)
    assert run.wait(within_s=500) == 1
    event.record_message()
    disk.free()
    event.is_over()
    assert "no space left on the disk" in run.last_message()
    assert "run the same command again: it resumes where it stopped" in run.last_message()
    run.submit()
    finish(event, run)
