"""The stages of a run on a machine with two GPUs, which Ray believes in and the processor serves.

Each stage notes what the process that it runs in may use. Networks that ask for CUDA run on the
processor; EGL lists what NVIDIA's driver would list, and the software renderer draws.
"""

import json
import os
import uuid
from pathlib import Path
from typing import Any
from unittest.mock import patch

import ray
import torch

from rayboot.models import Reconstructor, load_network
from rayboot.pipeline.stages.crop_faces import CropFaces
from rayboot.pipeline.stages.predict_volume import PredictVolume
from rayboot.pipeline.stages.render_views import RenderViews
from rayboot.render import renderer
from rayboot.render.egl_device import EGLDevice, list_devices

NOTES_VARIABLE = "RAYBOOT_TEST_NOTES"
"""Environment variable: folder of the notes."""

_EGL_ORDER = (1, 0)
"""Numbers of the GPUs, as CUDA counts them all, in EGL's order."""


def take_note(stage: str, **found: Any) -> None:
    """Notes what a process of a stage may use."""
    note = {"stage": stage, "visible": os.environ.get("CUDA_VISIBLE_DEVICES"), **found}
    (Path(os.environ[NOTES_VARIABLE]) / f"{uuid.uuid4()}.json").write_text(json.dumps(note))


def read_notes(folder: Path, stage: str) -> list[dict[str, Any]]:
    """Returns the notes of a stage."""
    notes = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    return [note for note in notes if note["stage"] == stage]


class CropWithNote(CropFaces):
    """The stage that reads photos; it uses no GPU."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        take_note("read")


def load_on_cpu(path: Path, device: str | torch.device = "cpu") -> Reconstructor:
    """Loads a network that asks for a GPU onto the processor, and notes both."""
    network = load_network(path, "cpu")
    assigned = ray.get_gpu_ids() if ray.is_initialized() else None
    on_device = next(network.parameters()).device.type
    take_note("reconstruct", asked=str(device), runs_on=on_device, assigned=assigned)
    return network


class PredictOnCPU(PredictVolume):
    """The stage of the network, on the processor instead of the GPU that it asks for."""

    def __init__(self, **arguments: Any) -> None:
        with patch("rayboot.pipeline.stages.predict_volume.load_network", load_on_cpu):
            super().__init__(**arguments)


class RenderOnSimulatedGPU(RenderViews):
    """The stage that renders, by the software renderer instead of the GPU that it chooses."""

    def __init__(self, **arguments: Any) -> None:
        listed = list_devices()
        (software, *_) = [device for device in listed if device.software]
        tried: list[EGLDevice] = []
        open_in_truth = renderer._open_on

        def open_on(device: EGLDevice, size: int) -> Any:
            tried.append(device)
            return open_in_truth(software, size)

        with (
            patch("rayboot.render.renderer.list_devices", simulated_devices),
            patch("rayboot.render.renderer._open_on", open_on),
        ):
            super().__init__(**arguments)
        (chosen,) = tried
        assert chosen == self._renderer.device
        take_note("turn", software=chosen.software, gpu=_EGL_ORDER[chosen.egl_index])


def simulated_devices() -> list[EGLDevice]:
    """Returns two GPUs as NVIDIA's driver lists them, Mesa's node of one, and its renderer."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "0,1")
    shown = [int(number) for number in visible.split(",") if number]
    gpus = [
        EGLDevice(index, False, True, shown.index(gpu) if gpu in shown else None)
        for index, gpu in enumerate(_EGL_ORDER)
    ]
    return [*gpus, EGLDevice(2, software=False), EGLDevice(3, software=True)]
