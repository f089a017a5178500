"""Nodes are lost in the middle of work: a worker, and the head with the job itself."""

import time
from pathlib import Path

from infra.stack.stack import Stack
from tests.chaos.cluster import (
    bring_back,
    bring_ray_back,
    bring_worker_back,
    lose,
    running_redis,
    wait_for_all_nodes,
)
from tests.chaos.conftest import Begin, End
from tests.chaos.runs import FinetuneRun, GenerateRun, Run

GONE_S = 5.0
"""Until another machine comes in place of a lost one."""


def test_a_worker_lost_while_pairs_are_made(
    stack: Stack, generate: GenerateRun, begin: Begin, finish: End
) -> None:
    lose_worker(stack, 0, generate, begin, finish)


def test_a_worker_lost_while_training(
    stack: Stack, finetune: FinetuneRun, begin: Begin, finish: End
) -> None:
    lose_worker(stack, 1, finetune, begin, finish)


def lose_worker(stack: Stack, number: int, run: Run, begin: Begin, finish: End) -> None:
    event = begin("worker node lost", run)
    event.happens()
    lose(stack.workers[number])
    time.sleep(GONE_S)
    bring_worker_back(stack, number)
    event.is_over()
    finish(event, run)


def test_the_head_lost_while_pairs_are_made(
    stack: Stack, generate: GenerateRun, begin: Begin, finish: End
) -> None:
    """It forgets everything; the same command goes on."""
    event = begin("head lost", generate)
    event.happens()
    lose(stack.head)
    bring_ray_back(stack)
    event.is_over()
    assert generate.wait(within_s=240) == 2
    event.told()
    assert "submit the same again" in generate.last_words()
    generate.submit()
    finish(event, generate)


def test_the_head_lost_that_remembers_in_redis(
    stack: Stack, finetune: FinetuneRun, begin: Begin, finish: End, tmp_path: Path
) -> None:
    """Its workers stay; the job, which ran on it, is known to have failed."""
    known = stack.head.known
    with running_redis(tmp_path) as memory:
        try:
            stack.head.known = {**known, **memory}
            stack.head.stop()
            bring_ray_back(stack)
            lose_remembering_head(stack, finetune, begin, finish)
        finally:
            stack.head.known = known
            stack.head.stop()
    bring_ray_back(stack)


def lose_remembering_head(stack: Stack, run: Run, begin: Begin, finish: End) -> None:
    event = begin("head lost, Redis kept", run)
    workers = [worker.pid for worker in stack.workers]
    event.happens()
    lose(stack.head)
    bring_back(stack.head)
    wait_for_all_nodes(stack)
    event.is_over()
    assert run.wait(within_s=240) == 1
    event.told()
    assert [worker.pid for worker in stack.workers if worker.exit_status() is None] == workers
    run.submit()
    finish(event, run)
