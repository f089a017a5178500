"""Disks are full in the middle of work: that of the results, and that of a node's Ray."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.cluster import SmallDisk, small_disk
from tests.chaos.conftest import Begin, End
from tests.chaos.runs import FinetuneRun, GenerateRun, Run

LEFT = 60_000
"""Bytes: room for notes, but for no more rows and no checkpoint."""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "disk", megabytes=256) as disk:
        yield disk


@pytest.fixture
def output(disk: SmallDisk) -> str:
    return str(disk.folder)


def test_the_disk_full_while_pairs_are_made(
    disk: SmallDisk, generate: GenerateRun, begin: Begin, finish: End
) -> None:
    fill_up(disk, generate, begin, finish)


def test_the_disk_full_while_training(
    disk: SmallDisk, finetune: FinetuneRun, begin: Begin, finish: End
) -> None:
    fill_up(disk, finetune, begin, finish)


def fill_up(disk: SmallDisk, run: Run, begin: Begin, finish: End) -> None:
    event = begin("disk of the output full", run)
    event.happens()
    disk.fill(leave=LEFT)
    assert run.wait(within_s=500) == 1
    event.told()
    disk.free()
    event.is_over()
    assert "no space left on the disk" in run.last_words()
    assert "run the same command again: it resumes where it stopped" in run.last_words()
    run.submit()
    finish(event, run)
