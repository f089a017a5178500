"""A consumer of a registered model on a machine without Ray and OpenGL.

Run it with a tracking URI. It prints as JSON what the model returned, and which packages were
imported that the model's requirements do not list.
"""

import importlib.metadata
import json
import re
import sys
from importlib.abc import MetaPathFinder
from pathlib import Path

MODEL = "models:/rayboot-vrn@champion"

MISSING_PACKAGES = {"ray", "OpenGL", "pyrender"}
OPTIONAL_PACKAGES = {"lxml", "nvidia-ml-py", "pygments"}
"""Packages that trimesh, PyTorch and MLflow import if they are installed, and work without."""


class MissingPackageFinder(MetaPathFinder):
    """Makes the import of :data:`MISSING_PACKAGES` fail."""

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in MISSING_PACKAGES:
            raise ImportError(f"{name} is not installed")


def normalize(name):
    return name.lower().replace("_", "-")


def with_dependencies(names):
    """Returns packages with all their dependencies, as far as they are installed."""
    closure, queue = set(), list(names)
    while queue:
        name = normalize(queue.pop())
        if name in closure:
            continue
        closure.add(name)
        try:
            requirements = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue
        queue += [
            re.match(r"[\w.-]+", requirement)[0]
            for requirement in requirements
            if "extra ==" not in requirement
        ]
    return closure


def main():
    sys.meta_path.insert(0, MissingPackageFinder())
    import mlflow
    import numpy as np

    mlflow.set_tracking_uri(sys.argv[1])
    before = set(sys.modules)
    model = mlflow.pyfunc.load_model(MODEL)
    photos = np.asarray(model.input_example)
    volumes = model.predict(photos)
    meshes = model.predict(photos, params={"output": "glb"})
    folder = mlflow.artifacts.download_artifacts(MODEL)
    lines = Path(folder, "requirements.txt").read_text(encoding="utf-8").splitlines()
    required = with_dependencies(line.partition("==")[0] for line in lines)
    loaded = {name.partition(".")[0] for name in set(sys.modules) - before}
    distributions = importlib.metadata.packages_distributions()
    used = {normalize(distributions[name][0]) for name in loaded if name in distributions}
    import rayboot

    report = {
        "code": rayboot.__file__,
        "volumes": [list(volumes.shape), str(volumes.dtype), float(volumes.max())],
        "meshes": [mesh[:4].decode("latin-1") for mesh in meshes],
        "not_required": sorted(used - required - OPTIONAL_PACKAGES - {"rayboot"}),
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
