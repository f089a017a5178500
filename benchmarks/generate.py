"""A long run of ``generate``: its rate, its lower bound, its memory, and the estimate of ``plan``.

    python benchmarks/generate.py [--num-photos 10000] [--full] [--store-mb 1000]

Synthetic near-frontal photos with landmarks, six views each, with the compact network or, given
``--full``, one of the released network's size. The lower bound of the time (``floor``) is what
the stages take one after the other in one process (``benchmarks/stages.py``), divided by the number
of cores; the network's part by the number of GPUs, if any. ``plan`` measures a sample first, and
its pools are used.
"""

import json
import os
import statistics
import tempfile
from pathlib import Path

# Before OpenGL is imported.
os.environ.setdefault("PYOPENGL_PLATFORM", "egl")
os.environ.setdefault("LP_NUM_THREADS", "1")

import click
import numpy as np
import pyarrow.parquet as pq
import torch

import rayboot
from benchmarks.machine import commit, describe_machine
from benchmarks.relief import relief_photos, relief_vrn
from benchmarks.stages import time_stages
from benchmarks.watch import watching
from rayboot.cluster.session import connect
from rayboot.data.images import decode_photo, encode_image
from rayboot.models import load_network
from rayboot.models.network_config import InferenceConfig
from rayboot.models.predictor import Predictor
from rayboot.pipeline.generate import generate
from rayboot.pipeline.generate_config import GenerateConfig, PoolConfig
from rayboot.pipeline.generate_request import prepare_generate
from rayboot.pipeline.generate_summary import GenerateSummary
from rayboot.pipeline.planning.calibration import calibrate_input
from rayboot.pipeline.planning.capacity import Calibration
from rayboot.pipeline.planning.scaling import ScalingEstimate, estimate
from rayboot.pipeline.synthesize import synthesize
from rayboot.registry.resolve import resolve_model
from rayboot.synthesis import SynthesisConfig

_MAX_IDENTITIES = 400
"""Further photos show the same faces in another light, so that their bytes differ."""


@click.command()
@click.option("--num-photos", default=2000, show_default=True)
@click.option(
    "--full", is_flag=True, help="Use a network of 192 x 192 x 200 instead of the compact one."
)
@click.option("--precision", type=click.Choice(["auto", "float32", "bfloat16"]), default="auto")
@click.option(
    "--batch-size", default=16, show_default=True, help="Photos per batch of the network."
)
@click.option(
    "--store-mb", type=int, help="Size of Ray's object store; by default Ray's own choice."
)
@click.option("--output", default="runs/generate.json", show_default=True)
def main(
    num_photos: int, full: bool, precision: str, batch_size: int, store_mb: int | None, output: str
) -> None:
    """Runs ``generate`` once; prints and writes a record."""
    on_gpu = torch.cuda.is_available()
    with tempfile.TemporaryDirectory(prefix="rayboot-generate-") as name:
        folder = Path(name)
        shape = (200, 192, 192) if full else (112, 96, 96)
        weights = resolve_model("builtin:compact").path
        if full:
            weights = relief_vrn(folder / "vrn.safetensors")
        photos = _make_photos(folder, num_photos, shape, full)
        config = GenerateConfig(
            input=str(photos),
            output=str(folder / "pairs"),
            model=str(weights),
            inference={"precision": precision, "compile": on_gpu},
            selection={"max_yaw_deg": 90, "max_pitch_deg": 90, "min_confidence": 0},
            views={"preset": "large", "both_sides_within_deg": 90, "max_gaze_deg": 89},
            max_clipped=1.0,
            pools={"batch_size": batch_size, "reconstruct_gpus": float(on_gpu)},
        )
        floor_s = _floor_s(folder, weights, precision, shape)
        with connect(object_store_memory=store_mb and store_mb * 10**6):
            size = calibrate_input(config)
            (estimated,) = estimate(size.calibration, size.photos, size.node, [1], config.pools)
            config = config.replace(pools=estimated.capacity.pools)
            with watching() as watch:
                summary = generate(prepare_generate(config))
        output_mb = sum(path.stat().st_size for path in (folder / "pairs").rglob("*.parquet")) / 1e6
        record = {
            "rayboot": rayboot.__version__,
            "commit": commit(),
            "machine": describe_machine(),
            "network": "full size" if full else "compact",
            "precision": precision,
            "batch_size": batch_size,
            "photos": num_photos,
            **_rates(summary, steady := _steady_rate(folder / "pairs"), floor_s),
            **_stages(summary, config.pools),
            "times_own_cpu_once_started": _times_own_cpu(summary, steady),
            **_compare_estimate(estimated, size.calibration, summary),
            **watch.record(),
            "output_mb": output_mb,
        }
    Path(output).parent.mkdir(parents=True, exist_ok=True)
    Path(output).write_text(json.dumps(record, indent=1) + "\n")
    click.echo(json.dumps(record, indent=1))


def _make_photos(folder: Path, count: int, shape: tuple[int, int, int], full: bool) -> Path:
    faces = folder / "faces"
    config = SynthesisConfig(
        num_identities=min(count, _MAX_IDENTITIES),
        yaw={"kind": "uniform", "max_deg": 10},
        max_pitch_deg=5,
        photo_size=3 * shape[2] // 2,
        crop_size=shape[2],
        slices=shape[0],
        seed=7,
    )
    synthesize(config, str(faces))
    first = faces / "Synthetic-3D"
    if full:
        relief_photos(str(faces), folder / "relief")
        first = folder / "relief"
    photos = folder / "photos"
    photos.mkdir()
    originals = sorted(path for path in first.iterdir() if path.suffix in (".jpg", ".png"))
    for number in range(count):
        original = originals[number % len(originals)]
        photo = decode_photo(original.read_bytes())
        # The full-size network reads depth from the red channel, so only the others change.
        light = np.array([1.0, *[1.0 - 0.01 * (number // len(originals))] * 2])
        lit = (photo * light).astype(np.uint8)
        data = encode_image(lit, "png" if full else "jpeg")
        (photos / f"{number:06d}{original.suffix}").write_bytes(data)
        (photos / f"{number:06d}.t7").write_bytes(original.with_suffix(".t7").read_bytes())
    return photos


def _floor_s(
    folder: Path, weights: Path, precision: str, shape: tuple[int, int, int], count: int = 48
) -> float:
    """Returns the seconds per face that these stages need at least on this machine."""
    sample = folder / "sample"
    sample.mkdir()
    for path in sorted((folder / "photos").iterdir())[: 2 * count]:
        (sample / path.name).symlink_to(path)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    gpus = torch.cuda.device_count()
    network = load_network(weights, device="cuda" if gpus else "cpu")
    predictor = Predictor(network, InferenceConfig(precision=precision, compile=gpus > 0), 4)
    medians = {
        stage: statistics.median(values)
        for stage, values in time_stages(str(sample), predictor, shape).items()
    }
    torch.set_num_threads(threads)
    cores = len(os.sched_getaffinity(0))
    if not gpus:
        return sum(medians.values()) / cores
    on_gpu = medians.pop("network")
    return max(sum(medians.values()) / cores, on_gpu / gpus)


def _steady_rate(pairs: Path) -> float:
    """Returns faces per second between a tenth and nine tenths of the files written."""
    parts = sorted(
        (pairs / "outcome=face").glob("*.parquet"), key=lambda path: path.stat().st_mtime
    )
    first, last = len(parts) // 10, len(parts) - 1 - len(parts) // 10
    rows = sum(pq.read_metadata(path).num_rows for path in parts[first + 1 : last + 1])
    return rows / max(parts[last].stat().st_mtime - parts[first].stat().st_mtime, 1e-9)


def _rates(summary: GenerateSummary, steady: float, floor_s: float) -> dict[str, float]:
    return {
        "seconds": summary.seconds,
        "faces": summary.num_faces,
        "pairs": summary.num_views,
        "rejects": sum(summary.rejects.values()),
        "faces_a_second": summary.num_faces / summary.seconds,
        "pairs_a_second": summary.num_views / summary.seconds,
        "faces_a_second_once_started": steady,
        "floor_ms_a_face": 1000 * floor_s,
        "fraction_of_floor": floor_s * summary.num_faces / summary.seconds,
        "fraction_of_floor_once_started": floor_s * steady,
    }


def _stages(summary: GenerateSummary, pools: PoolConfig) -> dict[str, object]:
    actors = {
        "read": pools.num_readers,
        "reconstruct": pools.num_reconstruct_actors,
        "turn": pools.num_render_actors,
    }
    return {
        "actors": actors,
        "busy_fraction": {
            name: use.busy_s / summary.seconds / actors[name]
            for name, use in summary.stages.items()
        },
        "cpu_ms_a_photo": {
            name: 1000 * use.cpu_s / use.rows for name, use in summary.stages.items()
        },
        "bytes_a_photo_handed_on": {
            name: use.num_bytes / use.rows for name, use in summary.stages.items()
        },
    }


def _times_own_cpu(summary: GenerateSummary, steady: float) -> float:
    """Returns the time of all cores per photo, divided by the CPU time of the stages themselves."""
    num_photos = summary.num_faces + sum(summary.rejects.values())
    photos_a_second = steady * num_photos / summary.num_faces
    own_s = sum(use.cpu_s / use.rows for use in summary.stages.values())
    return len(os.sched_getaffinity(0)) / photos_a_second / own_s


def _compare_estimate(
    estimated: ScalingEstimate, measured: Calibration, summary: GenerateSummary
) -> dict[str, object]:
    seconds = estimated.seconds
    return {
        "estimated_seconds": seconds,
        "estimated_to_real": seconds / summary.seconds,
        "estimated_bottleneck": estimated.bottleneck,
        "engine_photos_a_second": measured.engine_rate,
    }


if __name__ == "__main__":
    main()
