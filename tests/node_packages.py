"""Packages of npm that tests use as a second opinion: Khronos' validator of glTF, and three.js."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]

VERSIONS = {"gltf-validator": "2.0.0-dev.3.10", "three": "0.187.0"}
"""Versions that the tests were written with."""

_VALIDATE = """
const payload = new Uint8Array(require("fs").readFileSync(0));
require("gltf-validator").validateBytes(payload).then(
  (report) => console.log(JSON.stringify(report.issues)));
"""


def node_modules(package: str) -> Path:
    """Returns the folder with an npm package; tests skip, with the remedy, where there is none.

    It is that of ``NODE_PATH``, else ``node_modules`` of the clone.
    """
    folders = [*filter(None, [os.environ.get("NODE_PATH")]), str(ROOT / "node_modules")]
    found = [Path(folder) for folder in folders if (Path(folder) / package).is_dir()]
    if found and shutil.which("node"):
        return found[0]
    message = f"requires node and its package: npm install --no-save {package}@{VERSIONS[package]}"
    if os.environ.get("RAYBOOT_REQUIRE_NODE") == "1":
        pytest.fail(f"{message}; RAYBOOT_REQUIRE_NODE=1 forbids skipping")
    pytest.skip(message)


def validate_gltf(payload: bytes) -> dict[str, Any]:
    """Returns what Khronos' validator reports of a GLB: numbers of issues, and ``messages``."""
    run = subprocess.run(
        ["node", "-e", _VALIDATE],
        env={**os.environ, "NODE_PATH": str(node_modules("gltf-validator"))},
        input=payload,
        capture_output=True,
        timeout=120,
        check=True,
    )
    issues: dict[str, Any] = json.loads(run.stdout)
    return issues
