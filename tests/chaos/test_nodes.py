"""Nodes are lost during a run: a worker, and the head with the job itself."""

import time
from pathlib import Path

from infra.stack.stack import Stack
from tests.chaos.cluster import (
    kill,
    replace_worker,
    restart,
    restart_ray,
    running_redis,
    wait_for_all_nodes,
)
from tests.chaos.conftest import Begin, End
from tests.chaos.runs import FinetuneRun, GenerateRun, Run

REPLACEMENT_DELAY_S = 5.0
"""Time until another machine replaces a lost one."""


def test_a_lost_worker_during_generate(
    stack: Stack, generate: GenerateRun, begin: Begin, finish: End
) -> None:
    run_with_lost_worker(stack, 0, generate, begin, finish)


def test_a_lost_worker_during_finetune(
    stack: Stack, finetune: FinetuneRun, begin: Begin, finish: End
) -> None:
    run_with_lost_worker(stack, 1, finetune, begin, finish)


def run_with_lost_worker(stack: Stack, number: int, run: Run, begin: Begin, finish: End) -> None:
    event = begin("worker node lost", run)
    event.happens()
    kill(stack.workers[number])
    time.sleep(REPLACEMENT_DELAY_S)
    replace_worker(stack, number)
    event.is_over()
    finish(event, run)


def test_a_lost_head_during_generate(
    stack: Stack, generate: GenerateRun, begin: Begin, finish: End
) -> None:
    """The head loses its state; the same command resumes."""
    event = begin("head lost", generate)
    event.happens()
    kill(stack.head)
    restart_ray(stack)
    event.is_over()
    assert generate.wait(within_s=240) == 2
    event.record_message()
    assert "submit the same command again" in generate.last_message()
    generate.submit()
    finish(event, generate)


def test_a_lost_head_with_state_in_redis(
    stack: Stack, finetune: FinetuneRun, begin: Begin, finish: End, tmp_path: Path
) -> None:
    """Its workers remain; the job, which ran on the head, is reported as failed."""
    known = stack.head.known
    with running_redis(tmp_path) as variables:
        try:
            stack.head.known = {**known, **variables}
            stack.head.stop()
            restart_ray(stack)
            run_with_lost_head(stack, finetune, begin, finish)
        finally:
            stack.head.known = known
            stack.head.stop()
    restart_ray(stack)


def run_with_lost_head(stack: Stack, run: Run, begin: Begin, finish: End) -> None:
    event = begin("head lost, Redis kept", run)
    workers = [worker.pid for worker in stack.workers]
    event.happens()
    kill(stack.head)
    restart(stack.head)
    wait_for_all_nodes(stack)
    event.is_over()
    assert run.wait(within_s=240) == 1
    event.record_message()
    assert [worker.pid for worker in stack.workers if worker.exit_status() is None] == workers
    run.submit()
    finish(event, run)
