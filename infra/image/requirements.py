"""Prints the requirements of rayboot with some extras, without rayboot itself.

    python requirements.py pyproject.toml cluster gpu

The layer of dependencies in the image then remains the same when only the code changes.
"""

import sys
import tomllib
from pathlib import Path


def requirements(pyproject: str, extras: list[str]) -> list[str]:
    """Returns the requirements of the project and of the extras."""
    project = tomllib.loads(pyproject)["project"]
    optional = project["optional-dependencies"]
    return [*project["dependencies"], *(line for extra in extras for line in optional[extra])]


if __name__ == "__main__":
    path, *names = sys.argv[1:]
    print("\n".join(requirements(Path(path).read_text("utf-8"), names)))
