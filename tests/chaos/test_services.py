"""The object store and the database go away in the middle of work."""

import time

from infra.stack.stack import Stack
from tests.chaos.cluster import bring_back, lose
from tests.chaos.conftest import Begin, End
from tests.chaos.runs import FinetuneRun, GenerateRun

STORE_AWAY_S, DATABASE_AWAY_S = 45.0, 20.0


def test_the_object_store_away_for_a_while(
    stack: Stack, generate: GenerateRun, begin: Begin, finish: End
) -> None:
    event = begin("object store away, for less than three minutes", generate)
    event.happens()
    lose(stack.store)
    time.sleep(STORE_AWAY_S)
    assert generate.ended() is None
    bring_back(stack.store)
    event.is_over()
    finish(event, generate)


def test_the_object_store_away_for_long(
    stack: Stack, generate: GenerateRun, begin: Begin, finish: End
) -> None:
    event = begin("object store away, for longer", generate)
    event.happens()
    lose(stack.store)
    try:
        assert generate.wait(within_s=700) == 1
    finally:
        bring_back(stack.store)
    event.is_over()
    event.told()
    assert "run the same command again: it resumes where it stopped" in generate.last_words()
    generate.submit()
    finish(event, generate)


def test_the_database_restarted_while_training(
    stack: Stack, finetune: FinetuneRun, begin: Begin, finish: End
) -> None:
    """MLflow answers with errors meanwhile; steps go on and arrive later."""
    event = begin("PostgreSQL away", finetune)
    event.happens()
    lose(stack.database)
    time.sleep(DATABASE_AWAY_S)
    bring_back(stack.database)
    event.is_over()
    finish(event, finetune)
