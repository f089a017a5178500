"""Milliseconds a face of every stage of ``generate``, one process, one thread.

    python benchmarks/stages.py [--full]

With the compact network, or ``--full``: the size of the released one.
"""

import os

# Before OpenGL and OpenMP are loaded.
os.environ.setdefault("PYOPENGL_PLATFORM", "egl")
os.environ.setdefault("LP_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import statistics
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import click
import numpy as np

from rayboot.data.images import encode_image
from rayboot.geometry.camera import rotation_yaw_pitch
from rayboot.geometry.landmarks import place_mean_landmarks
from rayboot.geometry.pose import estimate_pose
from rayboot.geometry.surface import extract_surface
from rayboot.geometry.views import turn_transform
from rayboot.geometry.volume import keep_largest_component, pack_occupancy, share_clipped
from rayboot.models.config import InferenceConfig
from rayboot.pipeline.config import GenerateConfig
from rayboot.pipeline.listing import list_inputs, mark_duplicates
from rayboot.pipeline.read import ReadPhotos
from rayboot.registry.models import resolve_weights
from rayboot.render import Renderer, Scene
from rayboot.render.backplane import build_backplane
from rayboot.render.colors import paint_mesh
from rayboot.synthesis import SynthesisConfig, synthesize

YAWS_DEG = (-60, -40, -20, 20, 40, 60)


@click.command()
@click.option("--full", is_flag=True, help="192 x 192 x 200 instead of the compact network.")
@click.option("--num-faces", default=16, show_default=True)
def main(full: bool, num_faces: int) -> None:
    """Times each stage on made faces; prints median and spread."""
    with tempfile.TemporaryDirectory(prefix="rayboot-stages-") as name:
        size, slices = (192, 200) if full else (96, 96)
        faces = str(Path(name) / "faces")
        config = SynthesisConfig(
            num_identities=num_faces,
            yaw={"kind": "uniform", "max_deg": 10},
            photo_size=3 * size // 2,
            crop_size=size,
            slices=slices,
            seed=7,
        )
        synthesize(config, faces)
        weights = resolve_weights("builtin:compact")
        if full:
            from benchmarks.face_like_vrn import face_like_vrn

            weights = face_like_vrn(faces, Path(name) / "vrn.safetensors")
        spent = _time_stages(faces, weights, size)
    total = 0.0
    for stage, values in spent.items():
        middle = 1000 * statistics.median(values)
        total += middle
        low, high = 1000 * np.quantile(values, [0.1, 0.9])
        click.echo(f"{stage:24s} {middle:8.1f} ms   [{low:.1f}, {high:.1f}]")
    click.echo(f"{'all':24s} {total:8.1f} ms   {1000 / total:.2f} faces/s a core")


def _time_stages(faces: str, weights: Path, size: int) -> dict[str, list[float]]:
    from rayboot.models import load_vrn
    from rayboot.models.predictor import Predictor

    spent: dict[str, list[float]] = defaultdict(list)
    read = ReadPhotos(size, GenerateConfig().selection, detect_faces=False)
    predictor = Predictor(load_vrn(weights), InferenceConfig(), batch_size=1)
    renderer = Renderer(size)
    table = mark_duplicates(list_inputs(faces))
    for index in range(len(table)):
        stages = _Stages(spent)
        row = read(table.slice(index, 1)).to_pylist()[0]
        if row["reason"]:
            continue
        stages.done("read and crop")
        photo = np.frombuffer(row["image"], np.uint8).reshape(size, size, 3)
        volume = predictor.predict(photo[None])[0]
        stages.done("network")
        mesh = extract_surface(keep_largest_component(volume))
        stages.done("surface")
        pose = estimate_pose(mesh.vertices)
        stages.done("pose")
        landmarks = place_mean_landmarks(mesh.vertices, pose)
        occupied = volume >= 0.5
        views = [
            turn_transform(
                rotation_yaw_pitch(np.radians(yaw), 0),
                mesh.vertices,
                landmarks,
                pose.centroid,
                occupied.shape,
            )
            for yaw in YAWS_DEG
        ]
        for view in views:
            share_clipped(occupied, view)
        stages.done("views")
        scene = Scene(
            paint_mesh(mesh, photo, pose, "mirrored"),
            build_backplane(photo, mesh.vertices, pose, "filled"),
        )
        stages.done("colours and backplane")
        images = renderer.render(scene, views)
        stages.done(f"render {len(views)} views")
        for image in images:
            encode_image(image, "jpeg")
        pack_occupancy(occupied)
        stages.done("encode")
    # The first face pays for what is loaded once.
    return {stage: values[1:] for stage, values in spent.items()}


class _Stages:
    def __init__(self, spent: dict[str, list[float]]) -> None:
        self._spent, self._last = spent, time.perf_counter()

    def done(self, name: str) -> None:
        now = time.perf_counter()
        self._spent[name].append(now - self._last)
        self._last = now


if __name__ == "__main__":
    main()
