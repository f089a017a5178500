"""Milliseconds per face of every stage of ``generate``, in one process and one thread.

    python -m benchmarks.stages [--full] [--precision float32]

It uses the compact network or, given ``--full``, one of the released network's size.
"""

import os

# Set before OpenGL and OpenMP are loaded.
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

from benchmarks.machine import describe_machine
from rayboot.data.images import encode_image
from rayboot.geometry.camera import rotation_yaw_pitch
from rayboot.geometry.isosurface import extract_coarse_surface
from rayboot.geometry.landmarks68 import lift_landmarks
from rayboot.geometry.pose import estimate_pose
from rayboot.geometry.views import view_transform
from rayboot.geometry.volume import clipped_fraction, occupied_points, pack_occupancy
from rayboot.models import load_network
from rayboot.models.network_config import InferenceConfig
from rayboot.models.predictor import Predictor
from rayboot.pipeline.generate_config import GenerateConfig
from rayboot.pipeline.listing import list_inputs, mark_duplicates
from rayboot.pipeline.stages.crop_faces import CropFaces
from rayboot.pipeline.stages.records import Solid
from rayboot.pipeline.synthesize import synthesize
from rayboot.registry.resolve import resolve_model
from rayboot.render import Renderer
from rayboot.render.surroundings import build_scene
from rayboot.synthesis import SynthesisConfig

YAWS_DEG = (-60, -40, -20, 20, 40, 60)


@click.command()
@click.option(
    "--full", is_flag=True, help="Use a network of 192 x 192 x 200 instead of the compact one."
)
@click.option("--num-faces", default=32, show_default=True)
@click.option("--precision", type=click.Choice(["auto", "float32", "bfloat16"]), default="auto")
def main(full: bool, num_faces: int, precision: str) -> None:
    """Times each stage on synthetic faces; prints median and spread."""
    with tempfile.TemporaryDirectory(prefix="rayboot-stages-") as name:
        size, slices = (192, 200) if full else (96, 112)
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
        weights = resolve_model("builtin:compact").path
        if full:
            from benchmarks.relief import relief_photos, relief_vrn

            weights = relief_vrn(Path(name) / "vrn.safetensors")
            relief_photos(faces, Path(name) / "photos")
            faces = str(Path(name) / "photos")
        predictor = Predictor(load_network(weights), InferenceConfig(precision=precision), 4)
        spent = time_stages(faces, predictor, (slices, size, size))
    click.echo(f"{describe_machine()}, network in {precision}")
    total = 0.0
    for stage, values in spent.items():
        middle = 1000 * statistics.median(values)
        total += middle
        low, high = 1000 * np.quantile(values, [0.1, 0.9])
        click.echo(f"{stage:24s} {middle:8.1f} ms   [{low:.1f}, {high:.1f}]")
    click.echo(f"{'all':24s} {total:8.1f} ms   {1000 / total:.2f} faces/s per core")


def time_stages(
    faces: str, predictor: Predictor, shape: tuple[int, int, int]
) -> dict[str, list[float]]:
    """Returns the seconds per face of every stage, for six views; batches have four photos.

    Args:
        faces: URI of photos with landmarks.
        predictor: predictor of the network, for batches of four.
        shape: shape (D, S, S) of its volumes.
    """
    spent: dict[str, list[float]] = defaultdict(list)
    config = GenerateConfig()
    size = shape[2]
    cell = config.cell_px(size)
    crop_faces = CropFaces(size, None, detect_faces=False)
    renderer = Renderer(size)
    table = mark_duplicates(list_inputs(faces))
    # Batches of four, as in a run; each photo counts a quarter of the time.
    for start in range(0, len(table) - 3, 4):
        stages = _StageClock(spent, fraction=0.25)
        rows = crop_faces(table.slice(start, 4)).to_pylist()
        stages.done("read and crop")
        crops = np.stack([np.frombuffer(r["image"], np.uint8) for r in rows])
        crops = crops.reshape(4, size, size, 3)
        volumes = predictor.predict_compressed(crops, config.isovalue, cell)
        stages.done("network")
        for row, crop, bits, cells in zip(rows, crops, volumes.bits, volumes.cells, strict=True):
            occupied = np.unpackbits(bits).reshape(shape).view(bool)
            landmarks = np.frombuffer(row["landmarks"], np.float64).reshape(68, 2)
            solid = Solid(occupied, cells.astype(np.float32) / 255, cell)
            _time_views(_StageClock(spent), crop, solid, landmarks, renderer)
    # The first photos include the time of what is loaded once.
    return {stage: values[len(values) // 8 :] for stage, values in spent.items()}


def _time_views(
    stages: "_StageClock", crop: np.ndarray, solid: Solid, landmarks: np.ndarray, renderer: Renderer
) -> None:
    solid = solid.without_small_components()
    occupied = solid.occupied
    mesh = extract_coarse_surface(solid.cells, occupied.shape, solid.cell)
    stages.done("surface")
    pose = estimate_pose(mesh.vertices)
    stages.done("pose")
    lifted = lift_landmarks(landmarks, occupied)
    inside = occupied_points(occupied, stride=2 * max(solid.cell, 1))
    rotations = [rotation_yaw_pitch(np.radians(yaw), 0) for yaw in YAWS_DEG]
    views = [
        view_transform(rotation, mesh.vertices, lifted, pose.centroid, occupied.shape)
        for rotation in rotations
    ]
    for view in views:
        clipped_fraction(inside, view, occupied.shape)
    stages.done("views")
    scene = build_scene(mesh, crop, pose, "mirrored", "sheet")
    stages.done("colours and surroundings")
    images = renderer.render(scene, views)
    stages.done(f"render {len(views)} views")
    for image in (crop, *images):
        encode_image(image, "jpeg")
    pack_occupancy(occupied)
    stages.done("encode")


class _StageClock:
    """Appends the time since the last call to the stage that ended."""

    def __init__(self, spent: dict[str, list[float]], fraction: float = 1.0) -> None:
        self._spent, self._fraction, self._last = spent, fraction, time.perf_counter()

    def done(self, name: str) -> None:
        now = time.perf_counter()
        self._spent[name].append((now - self._last) * self._fraction)
        self._last = now


if __name__ == "__main__":
    main()
