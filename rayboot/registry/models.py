"""Model versions: registering a candidate, moving the champion, finding weights.

A version is logged as code (``served.py`` beside this module) with its weights as
safetensors: nothing in it is a pickle.
"""

import os
import re
import shutil
import tempfile
from importlib import resources
from pathlib import Path

import mlflow
import numpy as np
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.tracking import MlflowClient
from mlflow.types import Schema, TensorSpec

from rayboot.errors import RequestError
from rayboot.registry.names import BUILTIN
from rayboot.registry.tracking import Run

__all__ = [
    "champion_version",
    "pin_model",
    "promote",
    "register_weights",
    "resolve_weights",
]

# One file of a few megabytes: a bar for it only breaks other bars.
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")

_WEIGHTS = "vrn.safetensors"

CHAMPION, PREVIOUS = "champion", "previous"

_MODEL_URI = re.compile(r"models:/(?P<name>[^/@]+)(?:/(?P<version>\d+)|@(?P<alias>[^/@]+))")


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


def pin_model(model: str, tracking_uri: str | None = None) -> str:
    """``model`` with an alias replaced by the version that it names now.

    A run is made with versions: an alias would change under it.

    Raises:
        RequestError: there is no such model or alias.
    """
    named = _MODEL_URI.fullmatch(model)
    if named is None or named["alias"] is None:
        return model
    client = MlflowClient(tracking_uri=tracking_uri)
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
        folder = mlflow.artifacts.download_artifacts(model, tracking_uri=tracking_uri)
    except (MlflowException, OSError) as error:
        raise RequestError(
            f"model {model}: not in the registry {tracking_uri or mlflow.get_tracking_uri()} "
            f"({error}); set MLFLOW_TRACKING_URI to the store that has it"
        ) from error
    return Path(folder) / "artifacts" / _WEIGHTS


def register_weights(
    run: Run, name: str, weights: Path, example: np.ndarray, occupancy: np.ndarray
) -> str:
    """Logs weights as a new version of ``name``, with signature and example.

    Args:
        run: that made them.
        name: of the registered model.
        weights: safetensors file as :func:`rayboot.models.save_network` writes it; kept
            under the name ``vrn.safetensors``.
        example: (B, 3, H, W) float32 images in [0, 1].
        occupancy: (B, D, H, W) float32 that the network gives for them.

    Returns:
        The version, a number as text.
    """
    signature = ModelSignature(
        inputs=Schema([TensorSpec(np.dtype(np.float32), (-1, *example.shape[1:]), "images")]),
        outputs=Schema([TensorSpec(np.dtype(np.float32), (-1, *occupancy.shape[1:]))]),
    )
    mlflow.set_tracking_uri(run.tracking_uri)
    mlflow.set_registry_uri(run.tracking_uri)
    with (
        tempfile.TemporaryDirectory() as folder,
        mlflow.start_run(run_id=run.run_id, nested=True),
    ):
        # MLflow keeps a file's own name, by which it is found again.
        named = Path(shutil.copy(weights, Path(folder) / _WEIGHTS))
        info = mlflow.pyfunc.log_model(
            name="model",
            python_model=str(Path(__file__).with_name("served.py")),
            artifacts={"weights": str(named)},
            signature=signature,
            input_example={"images": example},
            registered_model_name=name,
            pip_requirements=["rayboot", "torch"],
        )
    return str(info.registered_model_version)


def champion_version(tracking_uri: str, name: str) -> str | None:
    """The version that the alias ``champion`` names, or None."""
    try:
        client = MlflowClient(tracking_uri=tracking_uri)
        return str(client.get_model_version_by_alias(name, CHAMPION).version)
    except MlflowException:
        return None


def promote(tracking_uri: str, name: str, version: str) -> str | None:
    """Moves ``champion`` to ``version``; the former one keeps the alias ``previous``.

    Returns:
        The former champion's version, or None.
    """
    client = MlflowClient(tracking_uri=tracking_uri)
    former = champion_version(tracking_uri, name)
    if former is not None and former != version:
        client.set_registered_model_alias(name, PREVIOUS, former)
    client.set_registered_model_alias(name, CHAMPION, version)
    return former
