import time
from pathlib import Path

import pytest

from rayboot.errors import RequestError
from rayboot.registry.promotion import promote, roll_back
from rayboot.serving.engine import ReconstructionEngine
from rayboot.serving.model_choice import ModelChoice, choose_model
from rayboot.serving.model_follower import ModelFollower
from rayboot.serving.reconstruction_request import ReconstructionRequest
from rayboot.serving.serve_config import ServeConfig

NAME = "rayboot-vrn"


def test_a_promotion_is_followed_and_a_rollback_too(registry: str) -> None:
    config = ServeConfig(tracking_uri=registry, model_poll_s=0.05)
    follower = ModelFollower(choose_model(config), config)
    try:
        first = follower.current
        assert first.uri == f"models:/{NAME}/1"
        promote(registry, NAME, "2", "1")
        wait_for(follower, f"models:/{NAME}/2")
        assert follower.current.sha256 != first.sha256
        roll_back(registry, NAME)
        wait_for(follower, f"models:/{NAME}/1")
    finally:
        follower.close()


def wait_for(follower: ModelFollower, uri: str) -> None:
    deadline = time.monotonic() + 30
    while follower.current.uri != uri:
        assert time.monotonic() < deadline, follower.current.uri
        time.sleep(0.02)


def test_a_first_champion_replaces_the_shipped_network(registry: str) -> None:
    config = ServeConfig(tracking_uri=registry, registered_name="other", model_poll_s=3600)
    follower = ModelFollower(choose_model(config), config)
    assert follower.current.uri == "builtin:base" and not follower.refresh()
    follower._choice = follower._choice._replace(registered_name=NAME)
    assert follower.refresh() and follower.current.uri == f"models:/{NAME}/1"
    follower.close()


def test_a_registry_that_is_gone_changes_nothing(
    registry: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = ServeConfig(tracking_uri=registry, model=f"models:/{NAME}@champion", model_poll_s=3600)
    follower = ModelFollower(choose_model(config), config)
    (tmp_path / "mlflow.db").rename(tmp_path / "away.db")
    assert not follower.refresh()
    assert follower.current.uri == f"models:/{NAME}/1"
    assert "still serving" in caplog.text
    follower.close()


def test_requests_in_flight_finish_on_the_old_version(registry: str, portrait: bytes) -> None:
    config = ServeConfig(tracking_uri=registry, model_poll_s=3600)
    engine = ReconstructionEngine(config, choose_model(config), None)
    request = ReconstructionRequest(portrait)
    before = engine.reconstruct(request)
    begun = engine.prepare(request)
    promote(registry, NAME, "2", "1")
    assert engine._followers["served"].refresh()
    after = engine.reconstruct(request)
    # Both in one batch, each by the model that it began with.
    late = engine.prepare(request)
    old, new = engine.predict([(item.model, item.found.chosen[0].crop) for item in (begun, late)])
    assert engine.finish(begun, [old]) == before
    assert engine.finish(late, [new]) == after
    assert (before.model, after.model) == (f"models:/{NAME}/1", f"models:/{NAME}/2")
    assert before.body != after.body
    engine.close()


def test_a_gpu_that_is_not_there_is_refused() -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    choice = ModelChoice("builtin:compact", NAME, "sqlite:///absent.db")
    with pytest.raises(RequestError, match="PyTorch sees no GPU"):
        ModelFollower(choice, ServeConfig(num_gpus=0.5))
