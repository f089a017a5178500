"""From the name of a model to its ONNX file, which is checked before it is in place."""

import hashlib
import tempfile
from pathlib import Path

from rayboot.errors import RaybootError, RequestError
from rayboot.models import load_network
from rayboot.models.onnx_check import MAX_SURFACE_ERROR, OnnxDifference, check_onnx
from rayboot.models.onnx_export import export_onnx, require_onnx
from rayboot.registry.model_versions import find_version
from rayboot.registry.resolve import resolve_model
from rayboot.registry.runs import Run, default_tracking_uri, make_client

__all__ = ["register_onnx", "write_onnx"]

_FOLDER = "onnx"
"""Folder of the file among the artifacts of the version's run."""


def write_onnx(model: str, path: Path, tracking_uri: str | None = None) -> OnnxDifference:
    """Writes a model as ONNX; the file appears only if it gives what the model gives.

    Args:
        model: as :func:`~rayboot.registry.resolve.resolve_model` takes it.
        path: file to write, whose name ends in ``.onnx``; an existing one is replaced.
        tracking_uri: MLflow store of ``models:/...``; by default MLflow's own setting.

    Returns:
        How far the file differs from the model.

    Raises:
        RequestError: there is no such model, the file cannot be written there, or the extra
            ``onnx`` is not installed.
        RaybootError: the surfaces differ by more than ``MAX_SURFACE_ERROR``.
    """
    if path.suffix != ".onnx" or path.is_dir() or not path.parent.is_dir():
        raise RequestError(f"{path}: must be a file in a folder that exists, its name in .onnx")
    require_onnx()
    resolved = resolve_model(model, tracking_uri)
    network = load_network(resolved.path)
    properties = {"rayboot.model": resolved.uri, "rayboot.weights_sha256": resolved.sha256}
    try:
        # In the same folder, because a rename does not cross file systems.
        with tempfile.TemporaryDirectory(prefix=".rayboot-onnx-", dir=path.parent) as folder:
            written = Path(folder, path.name)
            export_onnx(network, written, properties)
            difference = check_onnx(network, written)
            if not difference.surface_px <= MAX_SURFACE_ERROR:
                raise RaybootError(
                    f"{path}: was not written: with ONNX Runtime the surface of {resolved.uri} "
                    f"differs by {difference.surface_px:.3g} px, expected {MAX_SURFACE_ERROR} or "
                    "less; report this with the versions of torch, onnx and onnxruntime"
                )
            written.replace(path)
    except OSError as error:
        raise RequestError(f"{path}: cannot be written ({error})") from error
    return difference


def register_onnx(
    model: str, path: Path, tracking_uri: str | None = None
) -> tuple[OnnxDifference, str]:
    """Writes a registered version as ONNX, and stores the file as an artifact of its run.

    The version's tags ``rayboot.onnx`` and ``rayboot.onnx_sha256`` tell where it is, and its hash.

    Args:
        model: ``models:/NAME/VERSION`` or ``models:/NAME@ALIAS``.
        path: as in :func:`write_onnx`.
        tracking_uri: as in :func:`write_onnx`.

    Returns:
        How far the file differs from the model, and the URI of the artifact.

    Raises:
        RequestError: the model is no registered version, or its run is not known.
        RequestError, RaybootError: see :func:`write_onnx`; then nothing is stored.
    """
    store = tracking_uri or default_tracking_uri()
    version = find_version(store, model)
    if not version.run_id:
        raise RequestError(
            f"{version.uri}: was registered without a run, whose artifacts could have the ONNX "
            "file; export it without --register"
        )
    # By its number, because an alias may move meanwhile.
    difference = write_onnx(version.uri, path, store)
    Run(store, version.run_id).log_file(path, _FOLDER)
    uri = f"runs:/{version.run_id}/{_FOLDER}/{path.name}"
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    client = make_client(store)
    for key, value in (("rayboot.onnx", uri), ("rayboot.onnx_sha256", digest)):
        client.set_model_version_tag(version.name, version.version, key, value)
    return difference, uri
