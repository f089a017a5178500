"""Networks as ONNX, for programs without PyTorch; requires the extra ``onnx``.

The exported graph takes crops as the network itself does and gives what it gives: volumes in
[0, 1], or, for a regressor of the parametric head, its parameters and the points of the face,
because the volume of a head is filled by code that is no tensor operation. The number of images is
free.
"""

import contextlib
import importlib.util
import io
import json
import logging
import os
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from rayboot.errors import RequestError
from rayboot.models.head_regressor import HeadPoints, HeadRegressor
from rayboot.models.reconstructor import Reconstructor

__all__ = ["INPUT_NAME", "export_onnx", "exportable", "output_names"]

INPUT_NAME = "images"
"""Name of the input: (B, 3, S, S) float32 in [0, 1], RGB."""

_OPSET = 18

_PACKAGES = ("onnx", "onnxscript", "onnxruntime")

_FRAME = (
    "x right, y up, z towards the viewer, px of the crop, origin at its centre; of a volume "
    "(D, S, S): x = column - (S-1)/2, y = (S-1)/2 - row, z = (slice - (D-1)/2) / 2"
)


class _Volumes(nn.Module):
    """A network that gives volumes."""

    def __init__(self, network: Reconstructor) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        volumes: torch.Tensor = self.network(images)
        return volumes


class _Heads(nn.Module):
    """A regressor of the head that gives parameters and points."""

    def __init__(self, network: HeadRegressor) -> None:
        super().__init__()
        self.network, self.points = network, HeadPoints()

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        parameters = self.network(images, raw=True)
        return (parameters, *self.points(parameters))


def exportable(network: Reconstructor) -> nn.Module:
    """Returns the module that is exported: a function from images to :func:`output_names`."""
    return _Heads(network) if isinstance(network, HeadRegressor) else _Volumes(network)


def output_names(network: Reconstructor) -> tuple[str, ...]:
    """Returns the names of the outputs.

    ``occupancy`` (B, D, S, S); or ``parameters`` (B, I + E + 12), ``vertices`` (B, T, 3) of the
    face and ``landmarks`` (B, 68, 3), px. All are float32.
    """
    if isinstance(network, HeadRegressor):
        return ("parameters", "vertices", "landmarks")
    return ("occupancy",)


def export_onnx(network: Reconstructor, path: Path, properties: Mapping[str, str]) -> None:
    """Writes a network as one ONNX file.

    Args:
        network: network on the CPU, in float32.
        path: file to write, in a folder that exists.
        properties: further properties of the model, such as its name.

    Raises:
        RequestError: the extra ``onnx`` is not installed.
    """
    require_onnx()
    module = exportable(network.eval()).eval()
    size = network.config.resolution
    example = torch.zeros(2, 3, size, size)
    with torch.no_grad(), _quietly():
        # Filters that networks compute once and keep must be tensors with values, not the
        # placeholders with which PyTorch traces a graph.
        module(example)
        program: Any = torch.onnx.export(
            module,
            (example,),
            dynamo=True,
            input_names=[INPUT_NAME],
            output_names=list(output_names(network)),
            dynamic_shapes={INPUT_NAME: {0: torch.export.Dim("batch")}},
            opset_version=_OPSET,
            verbose=False,
        )
    config = network.config
    program.model.metadata_props.update(
        {
            "rayboot.network": type(network).__name__,
            "rayboot.config": json.dumps(config.model_dump(mode="json")),
            "rayboot.frame": _FRAME,
            "rayboot.isovalue": "0.5",
            **properties,
        }
    )
    program.save(os.fspath(path))


def require_onnx() -> None:
    """Checks that the packages of the extra ``onnx`` are installed.

    Raises:
        RequestError: one is not.
    """
    missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise RequestError(
            f"ONNX needs {', '.join(missing)}, which is not installed; "
            'run `pip install "rayboot[onnx]"`'
        )


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Keeps the exporter's progress and its remarks on other packages off the terminal."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
