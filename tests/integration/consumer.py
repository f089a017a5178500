"""What a consumer of the registry does, where Ray and OpenGL are not installed.

Run with a tracking URI; prints, as JSON, what it got and which packages were needed for it
beyond those that the model asks for.
"""

import importlib.metadata
import json
import re
import sys
from importlib.abc import MetaPathFinder

MODEL = "models:/rayboot-vrn@champion"

ABSENT = {"ray", "OpenGL", "pyrender"}
INCIDENTAL = {"lxml", "pygments"}
"""Imported by others (trimesh, MLflow) where it happens to be there, and missed by nobody."""


class Absent(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ABSENT:
            raise ImportError(f"{name} is not installed")


def normal(name):
    return name.lower().replace("_", "-")


def with_what_they_need(names):
    """Packages and, as far as installed here, all that they need in turn."""
    found, left = set(), list(names)
    while left:
        name = normal(left.pop())
        if name in found:
            continue
        found.add(name)
        try:
            needs = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue
        left += [re.match(r"[\w.-]+", need)[0] for need in needs if "extra ==" not in need]
    return found


def main():
    sys.meta_path.insert(0, Absent())
    import mlflow
    import numpy as np

    mlflow.set_tracking_uri(sys.argv[1])
    before = set(sys.modules)
    model = mlflow.pyfunc.load_model(MODEL)
    photos = np.asarray(model.input_example)
    volumes = model.predict(photos)
    meshes = model.predict(photos, params={"output": "glb"})
    folder = mlflow.artifacts.download_artifacts(MODEL)
    with open(f"{folder}/requirements.txt", encoding="utf-8") as file:
        asked_for = with_what_they_need(line.partition("==")[0] for line in file)
    loaded = {name.partition(".")[0] for name in set(sys.modules) - before}
    homes = importlib.metadata.packages_distributions()
    used = {normal(homes[name][0]) for name in loaded if name in homes}
    import rayboot

    told = {
        "code": rayboot.__file__,
        "volumes": [list(volumes.shape), str(volumes.dtype), float(volumes.max())],
        "meshes": [mesh[:4].decode("latin-1") for mesh in meshes],
        "not_asked_for": sorted(used - asked_for - INCIDENTAL - {"rayboot"}),
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
