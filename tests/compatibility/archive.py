"""Unpacking the archives of former versions."""

import sqlite3
import tarfile
from pathlib import Path

FOLDER = Path(__file__).parent


def unpack_runs(version: str, target: Path) -> Path:
    """Unpacks ``VERSION/runs.tar.xz`` into ``target`` and returns the folder of its content.

    Paths in the MLflow store begin with ``/VERSION/`` and are replaced by that folder, also
    within a value such as ``sqlite:////v0.1/...``.
    """
    with tarfile.open(FOLDER / version / "runs.tar.xz") as archive:
        archive.extractall(target, filter="data")
    folder = target / version
    path = folder / "round/mlflow.db"
    store = sqlite3.connect(path)
    statements = "\n".join(store.iterdump()).replace(f"/{version}/", f"{folder}/")
    store.close()
    path.unlink()
    store = sqlite3.connect(path)
    store.executescript(statements)
    store.close()
    return folder
