"""Faces a second of every stage and of the whole ``generate``, against a plain script.

    python benchmarks/generate_speed.py --output runs/speed.json

Full-size network (192 x 192 x 200), six views a face. The script and ``generate``
take turns, so that a noisy machine disturbs both alike; ratios are within a turn.
"""

import json
import os
import platform
import shutil
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

# Before OpenGL is imported.
os.environ.setdefault("PYOPENGL_PLATFORM", "egl")
os.environ.setdefault("LP_NUM_THREADS", "1")

import click
import numpy as np
import ray
import torch

import rayboot
from benchmarks.face_like_vrn import face_like_vrn
from rayboot.cluster import connect
from rayboot.pipeline.config import GenerateConfig
from rayboot.pipeline.generate import generate, prepare
from rayboot.synthesis import SynthesisConfig, synthesize

YAWS_DEG = (-60, -40, -20, 20, 40, 60)


@click.command()
@click.option("--num-faces", default=48, show_default=True)
@click.option("--num-turns", default=3, show_default=True)
@click.option("--output", default="runs/generate-speed.json", show_default=True)
def main(num_faces: int, num_turns: int, output: str) -> None:
    """Times the script and generate in turns."""
    from benchmarks.plain_script import run_plain_script
    from rayboot.models import load_vrn

    with tempfile.TemporaryDirectory(prefix="rayboot-speed-") as name:
        folder = Path(name)
        faces = str(folder / "faces")
        config = SynthesisConfig(
            num_identities=num_faces,
            yaw={"kind": "uniform", "max_deg": 10},
            max_pitch_deg=5,
            photo_size=288,
            crop_size=192,
            slices=200,
            seed=7,
        )
        synthesize(config, faces)
        weights = face_like_vrn(faces, folder / "vrn.safetensors")
        photos = sorted((folder / "faces/Synthetic-3D").glob("*.jpg"))
        network = load_vrn(weights).eval()
        num_script = max(4, num_faces // 6)
        turns = []
        with connect():
            _generate(faces, weights, folder / "warm", num_faces)
            for turn in range(num_turns):
                script = run_plain_script(
                    network, photos[:num_script], YAWS_DEG, folder / f"script-{turn}", True
                )
                seconds, views = _generate(faces, weights, folder / f"pairs-{turn}", num_faces)
                shutil.rmtree(folder / f"script-{turn}")
                turns.append(_compare(script, num_script, seconds, num_faces, views))
                click.echo(json.dumps(turns[-1]))
        record = {
            "rayboot": rayboot.__version__,
            "commit": _commit(),
            "versions": {
                "torch": torch.__version__,
                "ray": ray.__version__,
                "numpy": np.__version__,
            },
            "machine": {"processor": platform.machine(), "cores": len(os.sched_getaffinity(0))},
            "faces": num_faces,
            "views_a_face": len(YAWS_DEG),
            "turns": turns,
            "median": {
                key: statistics.median(turn[key] for turn in turns)
                for key in turns[0]
                if isinstance(turns[0][key], float)
            },
        }
    Path(output).parent.mkdir(parents=True, exist_ok=True)
    Path(output).write_text(json.dumps(record, indent=1) + "\n")
    click.echo(json.dumps(record["median"], indent=1))


def _commit() -> str:
    """Of the checkout that is timed; empty outside of one."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def _generate(faces: str, weights: Path, output: Path, num_faces: int) -> tuple[float, int]:
    config = GenerateConfig(
        input=faces,
        output=str(output),
        model=str(weights),
        # The blurred shapes of this network are of no use; what they cost is.
        selection={"max_yaw_deg": 90, "max_pitch_deg": 90, "min_confidence": 0},
        views={"preset": "large", "both_sides_within_deg": 90, "max_gaze_deg": 89},
        max_clipped=1.0,
        pools={"num_render_actors": 2, "batch_size": 8},
    )
    started = time.perf_counter()
    summary = generate(prepare(config))
    seconds = time.perf_counter() - started
    if summary.num_faces != num_faces:
        raise click.ClickException(f"{summary.num_faces} of {num_faces} faces: {summary.rejects}")
    return seconds, summary.num_views


def _compare(
    script: dict[str, float], num_script: int, seconds: float, num_faces: int, views: int
) -> dict[str, object]:
    whole = sum(script.values()) / num_script
    without = whole - script["rotate and write"] / num_script
    ours = seconds / num_faces
    return {
        "script_s_a_face": whole,
        "script_s_a_face_without_volumes": without,
        "generate_s_a_face": ours,
        "ratio": whole / ours,
        "ratio_without_volumes": without / ours,
        "views_a_face": views / num_faces,
        "script_steps_s_a_face": {k: round(v / num_script, 3) for k, v in script.items()},
    }


if __name__ == "__main__":
    main()
