import logging
import os

import pytest

from rayboot.errors import RaybootError
from rayboot.models.network_config import InferenceConfig, UNetConfig
from rayboot.pipeline.actor_limits import require_actors
from rayboot.pipeline.generate_config import PoolConfig
from rayboot.pipeline.graph import StageSpec, crop_stage, predict_stage

POOLS = PoolConfig(num_render_actors=2)
STAGES = (
    crop_stage(UNetConfig(), POOLS, None, detect_faces=True),
    predict_stage("weights", InferenceConfig(), POOLS),
    StageSpec("turn", list, 16, POOLS.num_render_actors, POOLS.render_cpus),
)
"""Stages as configs/generate-laptop.yaml has them."""


def set_cores(monkeypatch: pytest.MonkeyPatch, num_cores: int) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _process: set(range(num_cores)))


@pytest.mark.usefixtures("ray_local")
def test_one_core_runs_one_actor_of_each_stage(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    set_cores(monkeypatch, 1)
    # As many CPUs as a local Ray declares there.
    monkeypatch.setattr("ray.cluster_resources", lambda: {"CPU": 4.0})
    with caplog.at_level(logging.INFO):
        fitted = require_actors(STAGES)
    assert [spec.num_actors for spec in fitted] == [1, 1, 1]
    assert "instead of 2 of read, 2 of turn" in caplog.text
    set_cores(monkeypatch, 2)
    with pytest.raises(RaybootError, match=r"need 2.9 CPUs and 2 more must stay free"):
        require_actors(STAGES)


@pytest.mark.usefixtures("ray_local")
def test_a_cluster_keeps_the_actors_of_the_config(monkeypatch: pytest.MonkeyPatch) -> None:
    set_cores(monkeypatch, 1)
    monkeypatch.setenv("RAY_ADDRESS", "auto")
    assert require_actors(STAGES) == list(STAGES)
