"""Object store and database become unavailable during a run."""

import time

from infra.stack.stack import Stack
from tests.chaos.cluster import kill, restart
from tests.chaos.conftest import Begin, End
from tests.chaos.runs import FinetuneRun, GenerateRun

STORE_DOWN_S, DATABASE_DOWN_S = 45.0, 20.0


def test_an_object_store_unavailable_for_a_short_time(
    stack: Stack, generate: GenerateRun, begin: Begin, finish: End
) -> None:
    event = begin("object store unavailable for less than three minutes", generate)
    event.happens()
    kill(stack.store)
    time.sleep(STORE_DOWN_S)
    assert generate.exit_status() is None
    restart(stack.store)
    event.is_over()
    finish(event, generate)


def test_an_object_store_unavailable_for_long(
    stack: Stack, generate: GenerateRun, begin: Begin, finish: End
) -> None:
    event = begin("object store unavailable for longer", generate)
    event.happens()
    kill(stack.store)
    try:
        assert generate.wait(within_s=700) == 1
    finally:
        restart(stack.store)
    event.is_over()
    event.record_message()
    assert "run the same command again: it resumes where it stopped" in generate.last_message()
    generate.submit()
    finish(event, generate)


def test_a_database_restart_during_finetune(
    stack: Stack, finetune: FinetuneRun, begin: Begin, finish: End
) -> None:
    """MLflow answers with errors meanwhile; training continues and metrics arrive later."""
    event = begin("PostgreSQL unavailable", finetune)
    event.happens()
    kill(stack.database)
    time.sleep(DATABASE_DOWN_S)
    restart(stack.database)
    event.is_over()
    finish(event, finetune)
