"""What the parts of the GPU check measure, with little work on the CPU."""

from pathlib import Path

import numpy as np
import pytest
import torch

from rayboot.diagnostics.gpu.child import run_part
from rayboot.diagnostics.gpu.marked_tests import run_marked_tests
from rayboot.diagnostics.gpu.part import PartSkippedError, Workload
from rayboot.diagnostics.gpu.prediction import create_network
from rayboot.diagnostics.gpu.rendering_process import SIZE, create_scene
from rayboot.diagnostics.gpu.timing import median_seconds
from rayboot.diagnostics.gpu.training import create_samples
from rayboot.render import Renderer


@pytest.fixture(scope="module")
def workload(synthetic_set: str) -> Workload:
    return Workload("cpu", Path(synthetic_set), False, (1,), 2, 1, (1,), 2, 2)


def test_a_gpu_gets_the_released_network_and_a_cpu_little_work() -> None:
    gpu, cpu = (Workload.for_device(device, Path("faces")) for device in ("cuda", "cpu"))
    assert gpu.full_size and gpu.forward_batches == (16, 64, 256)
    assert (gpu.train_batch, gpu.train_steps, gpu.renderers) == (64, 20, (1, 4, 16))
    assert not cpu.full_size and max(cpu.forward_batches) < 16


def test_missing_faces_are_named_with_the_command_that_makes_them(tmp_path: Path) -> None:
    outcome = run_part("evaluation", Workload.for_device("cpu", tmp_path / "none"))
    assert outcome["status"] == "skipped"
    assert "rayboot synthesize --config configs/synthesize-gpu-check.yaml" in outcome["reason"]


def test_the_machine_is_described(workload: Workload) -> None:
    outcome = run_part("machine", workload)
    assert outcome["status"] == "ok", outcome["reason"]
    values = outcome["values"]
    assert set(values["egl_devices"]) == {"unset", "empty", "0"}
    assert all(isinstance(devices, list) for devices in values["egl_devices"].values())
    assert len(values["commit"]) in (0, 40)
    assert len(values["gpus"]) == torch.cuda.device_count()


def test_prediction_is_measured(workload: Workload) -> None:
    outcome = run_part("prediction", workload)
    assert outcome["status"] == "ok", outcome["reason"]
    values = outcome["values"]
    assert min(rates["1"] for rates in values["images_per_s"].values()) > 0
    assert values["compressed_images_per_s"] > 0
    assert values["synchronisations_per_batch"] is None


def test_training_is_measured(workload: Workload) -> None:
    outcome = run_part("training", workload)
    assert outcome["status"] == "ok", outcome["reason"]
    values = outcome["values"]
    assert values["images_per_s"] > 0
    assert list(values["parts_ms"]) == ["host", "targets", "forward", "loss", "backward"]
    # A pass through the network takes far longer than reading its images.
    assert values["parts_ms"]["backward"] > values["parts_ms"]["host"]


def test_samples_are_solids_of_a_face_s_size(workload: Workload) -> None:
    batch = create_samples(create_network(workload), 7).read(np.arange(7))
    filled = np.unpackbits(batch.targets[0]).mean()
    assert 0.05 < filled < 0.4
    assert len({transform.tobytes() for transform in batch.transforms}) == 6


def test_evaluation_is_measured(workload: Workload) -> None:
    outcome = run_part("evaluation", workload)
    assert outcome["status"] == "ok", outcome["reason"]
    assert outcome["values"]["faces"] == 2
    assert 0 < outcome["values"]["median_nme_percent"] < 15


@pytest.mark.egl
def test_the_rendered_scene_fills_a_part_of_the_image() -> None:
    scene, views = create_scene()
    images = Renderer(SIZE).render(scene, views)
    shown = images.any(axis=-1).mean(axis=(1, 2))
    assert images.shape == (6, SIZE, SIZE, 3) and 0.2 < shown.min() < shown.max() < 0.6
    assert not np.array_equal(images[0], images[-1])


@pytest.mark.parametrize("part", ["tests", "compiled-prediction", "compiled-training"])
def test_parts_that_need_a_gpu_are_skipped(part: str, workload: Workload) -> None:
    outcome = run_part(part, workload)
    assert (outcome["status"], outcome["reason"]) == ("skipped", "PyTorch finds no CUDA GPU")


def test_without_a_checkout_there_are_no_tests_to_run(
    workload: Workload, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rayboot.__file__", str(tmp_path / "rayboot/__init__.py"))
    on_gpu = Workload.for_device("cuda", workload.inputs)
    with pytest.raises(PartSkippedError, match="without one"):
        run_marked_tests(on_gpu)


def test_a_part_that_raises_is_a_failure(workload: Workload, tmp_path: Path) -> None:
    (tmp_path / "truth").mkdir()
    outcome = run_part("evaluation", Workload.for_device("cpu", tmp_path))
    assert outcome["status"] == "FAILED" and outcome["reason"]


def test_the_first_call_is_not_counted() -> None:
    calls: list[int] = []
    assert median_seconds(lambda: calls.append(1), torch.device("cpu"), 3) < 1
    assert len(calls) == 4


@pytest.mark.gpu
@pytest.mark.parametrize("part", ["prediction", "training", "compiled-prediction"])
def test_parts_run_on_a_gpu(part: str) -> None:
    small = Workload("cuda", Path("none"), False, (2, 2), 2, 2, (1,), 2, 2)
    outcome = run_part(part, small)
    assert outcome["status"] in ("ok", "skipped"), outcome["reason"]
    assert outcome["status"] == "ok" or "compiler" in outcome["reason"]
