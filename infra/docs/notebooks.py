"""Executes the notebooks and stores their outputs.

``python -m infra.docs.notebooks [NAME ...]`` does so in place.
"""

import os
import re
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

__all__ = ["FOLDER", "execute"]

FOLDER = Path(__file__).resolve().parents[2] / "docs/notebooks"
_TIMEOUT_S = 600
_CLEARED = ("image/svg+xml", "application/vnd.jupyter.widget-view+json")


def execute(notebook: Path, folder: Path) -> Any:
    """Executes a notebook in a folder, where it writes its files, and returns it with outputs.

    The command ``rayboot`` is that of the running Python.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell failed.
    """
    content = nbformat.read(notebook, as_version=4)
    scripts = str(Path(sys.executable).parent)
    environment = {**os.environ, "PATH": f"{scripts}:{os.environ['PATH']}"}
    client = NotebookClient(
        content, timeout=_TIMEOUT_S, coalesce_streams=True, resources={"metadata": {"path": folder}}
    )
    with warnings.catch_warnings():
        # The client of a kernel leaves its sockets to the garbage collector.
        warnings.simplefilter("ignore", ResourceWarning)
        client.execute(env=environment)
    return _clean(content, folder)


def _clean(content: Any, folder: Path) -> Any:
    """Removes from the outputs what differs between machines: times and the name of the folder."""
    for cell in content.cells:
        cell.metadata.pop("execution", None)
        for output in cell.get("outputs", []):
            if "text" in output:
                text = re.sub(r"\x1b\[[0-9;]*m", "", output.text)
                output["text"] = text.replace(f"{folder.resolve()}/", "").replace(f"{folder}/", "")
            for kind in _CLEARED:
                output.get("data", {}).pop(kind, None)
    content.metadata["language_info"] = {"name": "python"}
    return content


def _execute_all(names: list[str]) -> None:
    for notebook in sorted(FOLDER.glob("*.ipynb")):
        if names and notebook.stem not in names:
            continue
        with tempfile.TemporaryDirectory() as folder:
            content = execute(notebook, Path(folder))
        nbformat.write(content, notebook)
        print(f"{notebook}: {notebook.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    _execute_all(sys.argv[1:])
