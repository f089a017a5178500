"""The names that programs of others hold on to, and what importing them costs."""

import subprocess
import sys
from pathlib import Path

import pytest

import rayboot
import rayboot.data
import rayboot.models

ROOT = Path(__file__).resolve().parents[1]


def test_the_names_of_the_package_are_fixed() -> None:
    assert sorted(rayboot.__all__) == [
        "FaceModel",
        "FaceRejectedError",
        "RaybootError",
        "Reconstruction",
        "__version__",
        "load",
        "reconstruct",
    ]
    assert sorted(rayboot.data.__all__) == ["PairsDataset", "read_pairs"]
    assert {"VRN", "load_network", "load_vrn"} <= set(rayboot.models.__all__)


@pytest.mark.parametrize("module", [rayboot, rayboot.data, rayboot.models])
def test_every_name_is_there_and_documented(module: object) -> None:
    names = module.__all__  # type: ignore[attr-defined]
    assert set(names) <= set(dir(module)) or module is not rayboot
    for name in names:
        value = getattr(module, name)
        assert isinstance(value, str) or value.__doc__, name


def test_an_unknown_name_is_refused() -> None:
    for module in (rayboot, rayboot.data):
        with pytest.raises(AttributeError, match="no attribute 'reconstuct'"):
            module.reconstuct  # type: ignore[attr-defined] # noqa: B018


def test_importing_the_package_takes_no_time() -> None:
    # The processor's time, because other processes may use the cores.
    code = (
        "import time; start = time.process_time(); import rayboot; "
        "print(time.process_time() - start)"
    )
    seconds = [
        float(subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True).stdout)
        for _ in range(3)
    ]
    assert min(seconds) < 0.1
