"""Pools that reserve GPUs, on a Ray that counts two; every process runs on the processor.

A run has a process and a Ray of its own, since the shared one has no GPU.
"""

import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from rayboot.cluster.session import LOCAL_ENVIRONMENT
from rayboot.data.manifest import require_finished
from rayboot.pipeline.generate_config import GenerateConfig, PoolConfig
from rayboot.pipeline.isolation import SubprocessSpec, SubprocessStage
from rayboot.pipeline.stages.records import STAGE_SCHEMA
from rayboot.pipeline.stages.render_views import reject_render
from tests.pipeline.photos import mixed_folder
from tests.pipeline.simulated_gpus import NOTES_VARIABLE, RenderOnSimulatedGPU, read_notes
from tests.ray_head import NUM_STARTS

pytestmark = pytest.mark.egl

SHAPE = (16, 32, 32)

ROOT = Path(__file__).resolve().parents[2]

START = """
import json, sys
from unittest.mock import patch
import ray
from rayboot.cluster import resources
from rayboot.errors import RaybootError
from rayboot.pipeline import generate, graph
from rayboot.pipeline.generate_config import GenerateConfig
from rayboot.pipeline.generate_request import prepare_generate
from tests.pipeline import simulated_gpus as simulated

# On one core, each stage would have one actor.
resources.count_usable_cores = lambda: 4
graph.CropFaces, graph.PredictVolume = simulated.CropWithNote, simulated.PredictOnCPU
generate.RenderViews = simulated.RenderOnSimulatedGPU
ray.init(address="local", num_cpus=6, num_gpus=2, include_dashboard=False, log_to_driver=False,
         object_store_memory=100 * 2**20)

def run(pools):
    config = {**json.loads(sys.argv[1]), "pools": {"batch_size": 2, **pools}}
    config["output"] += f"-{pools['num_render_actors']}"
    try:
        generate.generate(prepare_generate(GenerateConfig(**config)))
    except RaybootError as error:
        print(error)
"""


def run_with_two_gpus(tmp_path: Path, photos: Path, *pools: dict[str, Any]) -> str:
    """Generates pairs with each of the pools in one Ray; returns what is printed."""
    notes = tmp_path / "notes"
    notes.mkdir()
    config = {
        "input": str(photos),
        "output": str(tmp_path / "pairs"),
        "selection": {"detect_faces": False},
        "views": {"preset": "small"},
    }
    script = START + "".join(f"run({each})\n" for each in pools) + "ray.shutdown()\n"
    variables = {**LOCAL_ENVIRONMENT, NOTES_VARIABLE: str(notes), "PYTHONPATH": str(ROOT)}
    inherited = {
        name: value
        for name, value in os.environ.items()
        if name not in ("RAY_ADDRESS", "CUDA_VISIBLE_DEVICES")
    }
    for _ in range(NUM_STARTS):
        done = subprocess.run(
            [sys.executable, "-c", script, json.dumps(config)],
            env={**inherited, **variables},
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=600,
        )
        if "timed out during startup" not in done.stderr:
            break
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.parametrize("gpu", [0, 1])
def test_the_child_of_a_renderer_draws_on_the_gpu_of_its_actor(
    gpu: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(NOTES_VARIABLE, str(tmp_path))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", str(gpu))
    config = GenerateConfig(pools=PoolConfig(render_gpus=0.5, render_device="gpu"))
    make = partial(
        RenderOnSimulatedGPU, config=config, shape=SHAPE, model_version="", config_digest=""
    )
    stage = SubprocessStage(SubprocessSpec.create(make, reject_render, 60.0))
    reject = {"face_id": "a", "stage": "read", "reason": "empty", "message": "no bytes"}
    stage(pa.Table.from_pylist([reject], schema=STAGE_SCHEMA))
    assert read_notes(tmp_path, "turn") == [
        {"stage": "turn", "visible": str(gpu), "software": False, "gpu": gpu}
    ]


@pytest.mark.slow
def test_pools_of_fractions_share_two_gpus(tmp_path: Path, synthetic_set: str) -> None:
    """A network has one GPU; two renderers share the other, and draw on it."""
    photos = mixed_folder(tmp_path / "photos", synthetic_set, num_good=4)
    fitting = {"reconstruct_gpus": 1, "render_gpus": 0.5, "num_render_actors": 2, "num_readers": 1}
    # EGL's share counts: one network and three renderers need more than there is.
    too_many = {**fitting, "num_render_actors": 3}
    printed = run_with_two_gpus(tmp_path, photos, too_many, fitting)
    assert "the actors need 2.5 GPUs, but the cluster has 2" in printed
    assert not (tmp_path / "pairs-3/manifest.json").exists()

    notes = tmp_path / "notes"
    (network,) = read_notes(notes, "reconstruct")
    assert (network["asked"], network["runs_on"]) == ("cuda", "cpu")
    assert network["visible"] == str(network["assigned"][0])
    renderers = read_notes(notes, "turn")
    other = 1 - network["assigned"][0]
    # The child process of a renderer has the variable of its actor, and draws on what it shows; an
    # actor that gets no photo starts no child.
    assert renderers
    assert {(note["visible"], note["gpu"]) for note in renderers} == {(str(other), other)}
    assert not any(note["software"] for note in renderers)
    # Readers reserve no GPU, and Ray assigns them none.
    assert not any(note["visible"] for note in read_notes(notes, "read"))

    manifest = require_finished(str(tmp_path / "pairs-2"))
    assert manifest.counts["faces"] > 0
    assert manifest.config["pools"]["render_device"] == "gpu"
