"""Photos to pairs, with the stages in this process and then with Ray."""

import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

from rayboot.diagnostics.gpu.part import Workload
from rayboot.pipeline.generate import generate
from rayboot.pipeline.generate_config import GenerateConfig, PoolConfig
from rayboot.pipeline.generate_request import prepare_generate
from rayboot.pipeline.generate_summary import GenerateSummary
from rayboot.pipeline.in_process_executor import InProcessExecutor
from rayboot.pipeline.runner import Executor

__all__ = ["measure_generation"]

_BATCH_SIZE = 8


def measure_generation(workload: Workload) -> dict[str, Any]:
    """Returns counts, photos per second and each stage's time; with Ray where it is installed.

    Raises:
        PartSkippedError: the synthetic faces are missing.
        AssertionError: no photo became a face.
    """
    inputs = Path(workload.require_inputs())
    with tempfile.TemporaryDirectory() as folder:
        photos = _copy_photos(inputs, Path(folder), workload.num_photos)
        record: dict[str, Any] = {"without_ray": _generate(workload, photos, InProcessExecutor())}
        try:
            import ray  # noqa: F401 - whether a machine has it
        except ImportError:
            return {**record, "with_ray": "Ray is not installed"}
        from rayboot.cluster.session import connect

        started = time.monotonic()
        with connect():
            seconds = round(time.monotonic() - started, 1)
            return {**record, "with_ray": {"start_s": seconds, **_generate(workload, photos, None)}}


def _copy_photos(inputs: Path, folder: Path, count: int) -> str:
    """Copies the first photos with their landmarks; returns the folder."""
    for photo in sorted(inputs.rglob("*.jpg"))[:count]:
        for path in (photo, photo.with_suffix(".t7")):
            copy = folder / path.relative_to(inputs)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copy)
    return str(folder)


def _generate(workload: Workload, photos: str, executor: Executor | None) -> dict[str, Any]:
    on_gpu = workload.device == "cuda"
    pools = PoolConfig(reconstruct_gpus=float(on_gpu), num_readers=1, batch_size=_BATCH_SIZE)
    with tempfile.TemporaryDirectory() as folder:
        config = GenerateConfig(input=photos, output=str(Path(folder) / "pairs"), pools=pools)
        started = time.monotonic()
        summary = generate(prepare_generate(config), executor)
        seconds = time.monotonic() - started
    return _describe(summary, seconds)


def _describe(summary: GenerateSummary, seconds: float) -> dict[str, Any]:
    rejects = {f"{stage}/{reason}": n for (stage, reason), n in summary.rejects.items()}
    if summary.num_faces == 0:
        raise AssertionError(f"no photo became a face: {rejects}")
    num_photos = summary.num_faces + sum(summary.rejects.values())
    return {
        "faces": summary.num_faces,
        "views": summary.num_views,
        "rejects": rejects,
        "photos_per_s": round(num_photos / seconds, 2),
        "busy_ms_per_photo": {
            name: round(1000 * usage.busy_s / max(usage.rows, 1), 1)
            for name, usage in summary.stages.items()
        },
    }
