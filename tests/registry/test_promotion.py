import multiprocessing
import time
from collections.abc import Callable
from multiprocessing import Queue
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from rayboot.errors import BusyError, ConflictError, RequestError
from rayboot.registry import promotion
from rayboot.registry.promotion import (
    CHAMPION,
    LOCK_SUFFIX,
    PREVIOUS,
    champion_version,
    promote,
    roll_back,
)
from rayboot.registry.runs import make_client

NAME = "faces"


@pytest.fixture
def uri(tmp_path: Path, create_mlflow_store: Callable[[Path], str]) -> str:
    """A registry with four versions of one model."""
    uri = create_mlflow_store(tmp_path)
    client = make_client(uri)
    client.create_registered_model(NAME)
    for _ in range(4):
        client.create_model_version(NAME, source=tmp_path.as_uri())
    return uri


def alias(uri: str, name: str) -> str | None:
    version = make_client(uri).get_registered_model(NAME).aliases.get(name)
    return None if version is None else str(version)


def test_the_champion_is_promoted_and_rolled_back(uri: str) -> None:
    assert champion_version(uri, NAME) is None
    promote(uri, NAME, "1", None)
    promote(uri, NAME, "2", "1")
    promote(uri, NAME, "3", "2")
    assert (alias(uri, CHAMPION), alias(uri, PREVIOUS)) == ("3", "2")
    assert roll_back(uri, NAME) == ("3", "2")
    assert (alias(uri, CHAMPION), alias(uri, PREVIOUS)) == ("2", "1")
    assert roll_back(uri, NAME) == ("2", "1")
    assert (alias(uri, CHAMPION), alias(uri, PREVIOUS)) == ("1", None)
    with pytest.raises(RequestError, match="version 1 is the first champion"):
        roll_back(uri, NAME)


def test_the_same_promotion_again_changes_nothing(uri: str) -> None:
    promote(uri, NAME, "1", None)
    promote(uri, NAME, "2", "1")
    promote(uri, NAME, "2", "1")
    assert (alias(uri, CHAMPION), alias(uri, PREVIOUS)) == ("2", "1")


def test_another_champion_in_the_meantime_is_a_conflict(uri: str) -> None:
    promote(uri, NAME, "1", None)
    with pytest.raises(
        ConflictError, match=r"the champion is now version 1.*compared with no version"
    ):
        promote(uri, NAME, "2", None)
    assert alias(uri, CHAMPION) == "1"


def test_without_a_champion_there_is_nothing_to_roll_back(uri: str) -> None:
    with pytest.raises(RequestError, match="no champion"):
        roll_back(uri, NAME)


def promote_at_start(uri: str, version: str, start: Event, outcomes: Queue) -> None:
    start.wait()
    while True:
        try:
            promote(uri, NAME, version, "1")
            outcomes.put((version, "won"))
        except ConflictError:
            outcomes.put((version, "conflict"))
        except BusyError:
            continue  # a slow machine: the remedy is to run it again
        return


def test_one_of_several_concurrent_promotions_succeeds(uri: str) -> None:
    promote(uri, NAME, "1", None)
    spawn = multiprocessing.get_context("spawn")
    start, outcomes = spawn.Event(), spawn.Queue()
    racers = [
        spawn.Process(target=promote_at_start, args=(uri, v, start, outcomes))
        for v in ("2", "3", "4")
    ]
    for racer in racers:
        racer.start()
    start.set()
    # Three small results fit into the queue's pipe, so nobody blocks before they are read.
    for racer in racers:
        racer.join()
    assert [racer.exitcode for racer in racers] == [0, 0, 0]
    results = dict(outcomes.get() for _ in racers)
    assert sorted(results.values()) == ["conflict", "conflict", "won"]
    assert results[alias(uri, CHAMPION)] == "won"
    assert alias(uri, PREVIOUS) == "1"
    names = [model.name for model in make_client(uri).search_registered_models()]
    assert names == [NAME]


def test_an_expired_lock_is_taken_over(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(promotion, "_SETTLE_S", 0.1)
    client = make_client(uri)
    client.create_registered_model(NAME + LOCK_SUFFIX, tags={"token": "dead"})
    started = time.monotonic()
    with promotion._champion_lock(client, NAME, expiry_s=1.0):
        assert time.monotonic() - started > 1.0
        with (
            pytest.raises(BusyError, match="other processes have held this lock"),
            promotion._champion_lock(client, NAME, expiry_s=60.0, timeout_s=0.5),
        ):
            pass
    assert [model.name for model in client.search_registered_models()] == [NAME]


def test_a_lost_lock_is_noticed(uri: str) -> None:
    client = make_client(uri)
    with promotion._champion_lock(client, NAME) as require_lock:
        client.set_registered_model_tag(NAME + LOCK_SUFFIX, "token", "another process")
        with pytest.raises(BusyError, match="took over the lock"):
            require_lock()
    client.delete_registered_model(NAME + LOCK_SUFFIX)
