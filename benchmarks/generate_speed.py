"""Seconds per face of the whole ``generate``, compared with a plain script.

    python benchmarks/generate_speed.py --output runs/speed.json

Full-size network (192 x 192 x 200), six views per face. The script and ``generate``
alternate, so that a noisy machine affects both alike; ratios are computed within a turn.
The time of a further face is the difference of a long run and a short one, because the
script's start is not counted either. Times that include the start of Ray and its actors
are reported as well.
"""

import json
import os
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

# Before OpenGL is imported.
os.environ.setdefault("PYOPENGL_PLATFORM", "egl")
os.environ.setdefault("LP_NUM_THREADS", "1")

import click
import numpy as np
import ray
import torch

import rayboot
from benchmarks.machine import commit, describe_machine
from benchmarks.relief import relief_photos, relief_vrn
from rayboot.cluster.session import connect
from rayboot.pipeline.generate import generate
from rayboot.pipeline.generate_config import GenerateConfig
from rayboot.pipeline.generate_request import prepare_generate
from rayboot.pipeline.synthesize import synthesize
from rayboot.synthesis import SynthesisConfig

YAWS_DEG = (-60, -40, -20, 20, 40, 60)


@click.command()
@click.option("--num-faces", default=96, show_default=True)
@click.option("--num-turns", default=3, show_default=True)
@click.option("--precision", type=click.Choice(["auto", "float32", "bfloat16"]), default="auto")
@click.option("--output", default="runs/generate-speed.json", show_default=True)
def main(num_faces: int, num_turns: int, precision: str, output: str) -> None:
    """Times the script and ``generate`` alternately; prints and writes a record."""
    from benchmarks.plain_script import run_plain_script
    from rayboot.models import load_vrn

    with tempfile.TemporaryDirectory(prefix="rayboot-speed-") as name:
        folder = Path(name)
        config = SynthesisConfig(
            num_identities=num_faces,
            yaw={"kind": "uniform", "max_deg": 10},
            max_pitch_deg=5,
            photo_size=288,
            crop_size=192,
            slices=200,
            seed=7,
        )
        synthesize(config, str(folder / "faces"))
        photos = folder / "photos"
        relief_photos(str(folder / "faces"), photos)
        weights = relief_vrn(folder / "vrn.safetensors")
        subset = _copy_first(photos, folder / "subset", num_faces // 4)
        network = load_vrn(weights).eval()
        sample = sorted(subset.glob("*.png"))[: max(4, num_faces // 12)]
        turns = []
        with connect():
            for turn in range(num_turns):
                script = run_plain_script(
                    network, sample, YAWS_DEG, folder / f"script-{turn}", True
                )
                short, long = (
                    _generate(source, weights, folder / f"{source.name}-{turn}", precision)
                    for source in (subset, photos)
                )
                shutil.rmtree(folder / f"script-{turn}")
                turns.append(_compare(script, len(sample), short, long))
                click.echo(json.dumps(turns[-1]))
        record = {
            "rayboot": rayboot.__version__,
            "commit": commit(),
            "versions": {
                "torch": torch.__version__,
                "ray": ray.__version__,
                "numpy": np.__version__,
            },
            "machine": describe_machine(),
            "precision": precision,
            "faces": num_faces,
            "turns": turns,
            "median": {key: statistics.median(turn[key] for turn in turns) for key in turns[0]},
        }
    Path(output).parent.mkdir(parents=True, exist_ok=True)
    Path(output).write_text(json.dumps(record, indent=1) + "\n")
    click.echo(json.dumps(record["median"], indent=1))


def _copy_first(photos: Path, folder: Path, count: int) -> Path:
    """Copies the first ``count`` photos and their landmarks to a folder, which is returned."""
    folder.mkdir()
    for photo in sorted(photos.glob("*.png"))[:count]:
        for file in (photo, photo.with_suffix(".t7")):
            shutil.copy(file, folder)
    return folder


class _Run(NamedTuple):
    """Duration and output of a run of ``generate``."""

    seconds: float
    faces: int
    views: int


def _generate(photos: Path, weights: Path, output: Path, precision: str) -> _Run:
    config = GenerateConfig(
        input=str(photos),
        output=str(output),
        model=str(weights),
        inference={"precision": precision},
        # Every face gets the same six views as in the script.
        selection={"max_yaw_deg": 90, "max_pitch_deg": 90, "min_confidence": 0},
        views={"preset": "large", "both_sides_within_deg": 90, "max_gaze_deg": 89},
        max_clipped=1.0,
        # One thread each; on two cores the networks share them with the renderers.
        pools={"num_reconstruct_actors": 2, "num_render_actors": 2, "batch_size": 4}
        | {"reconstruct_cpus": 0.5, "render_cpus": 0.5},
    )
    started = time.perf_counter()
    summary = generate(prepare_generate(config))
    seconds = time.perf_counter() - started
    if summary.rejects:
        raise click.ClickException(f"not every photo became a face: {summary.rejects}")
    return _Run(seconds, summary.num_faces, summary.num_views)


def _compare(
    script: dict[str, float], num_script: int, short: _Run, long: _Run
) -> dict[str, float]:
    with_volumes = sum(script.values()) / num_script
    without = with_volumes - script["rotate and write"] / num_script
    ours = (long.seconds - short.seconds) / (long.faces - short.faces)
    steps = {f"script: {name}": seconds / num_script for name, seconds in script.items()}
    return {
        "script_s_a_face": with_volumes,
        "script_s_a_face_without_volumes": without,
        "generate_s_a_face": ours,
        "generate_s_a_face_with_start": long.seconds / long.faces,
        "ratio": with_volumes / ours,
        "ratio_without_volumes": without / ours,
        "views_a_face": long.views / long.faces,
        **steps,
    }


if __name__ == "__main__":
    main()
