"""The manifests in infra/kubernetes, as kubectl renders them."""

import importlib
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from ray.serve.schema import ServeDeploySchema

from rayboot import __version__
from rayboot.cluster.resources import WAIT_VARIABLE
from rayboot.config import load_config, parse_config
from rayboot.errors import RequestError
from rayboot.rounds.round_config import RoundConfig
from rayboot.serving.application import build
from rayboot.serving.serve_config import TOKEN_VARIABLE, Autoscaling, ServeConfig
from tests.infra.crd import CustomResource
from tests.infra.manifests import (
    FOLDERS,
    KUBERNETES,
    ROOT,
    SIZES,
    Manifest,
    Pod,
    cluster_spec,
    of_kind,
    pods,
    render,
)

# The oldest version that the Kubernetes project maintains.
KUBERNETES_VERSION = "1.34"

CUSTOM = ("RayCluster", "RayJob", "RayService")
SECRETS = {"ray-token", "redis", "postgres", "mlflow-server", "mlflow-login", "object-storage"}
SERVICE_SECRET = "serve-token"


@pytest.fixture(scope="module", params=FOLDERS)
def folder(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="session")
def definitions(shared_dir: Path) -> dict[str, CustomResource]:
    resources = [CustomResource(path) for path in (shared_dir / "kuberay").glob("*.yaml")]
    return {definition.kind: definition for definition in resources}


def containers(pod: Pod) -> list[dict[str, Any]]:
    return pod.spec["containers"] + pod.spec.get("initContainers", [])


def autoscaler(folder: str) -> dict[str, Any]:
    return cluster_spec(folder)["autoscalerOptions"]


def walk(node: Any) -> Iterator[tuple[str, Any]]:
    """Yields every key of a document with its value."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield key, value
            yield from walk(value)
    elif isinstance(node, list):
        for item in node:
            yield from walk(item)


def test_custom_resources_fit_their_definitions(
    folder: str, definitions: dict[str, CustomResource]
) -> None:
    manifests = [manifest for manifest in render(folder) if manifest["kind"] in CUSTOM]
    assert manifests
    for manifest in manifests:
        if manifest["kind"] == "RayService":
            # The definitions are those of clusters and jobs; a service consists of a cluster, of a
            # config that Ray Serve checks, and of these fields.
            assert set(manifest["spec"]) == {
                "excludeHeadPodFromServeSvc", "rayClusterConfig", "rayClusterDeletionDelaySeconds",
                "serveConfigV2", "upgradeStrategy",
            }  # fmt: skip
            manifest = {**manifest, "kind": "RayCluster", "spec": cluster_spec(folder)}
        assert definitions[manifest["kind"]].errors(manifest) == []


def test_all_other_manifests_are_valid(folder: str) -> None:
    for manifest in render(folder):
        if manifest["kind"] not in CUSTOM:
            kubernetes_validate.validate(manifest, KUBERNETES_VERSION, strict=True)


def test_the_pods_of_ray_are_valid(folder: str) -> None:
    for pod in pods(folder):
        metadata = {"name": pod.owner, "labels": pod.labels}
        manifest = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod.spec}
        kubernetes_validate.validate(manifest, KUBERNETES_VERSION, strict=True)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("spec", "rayVersoin"), "2.60.0"),
        (("spec", "authOptions", "mode"), "none"),
        (("spec", "headGroupSpec", "template", "spec", "containers"), "ray"),
        (("spec", "workerGroupSpecs", 0, "template", "spec", "toleration"), []),
        (("spec", "workerGroupSpecs", 0, "minReplicas"), "0"),
    ],
)
def test_an_invalid_cluster_does_not_fit_its_definition(
    definitions: dict[str, CustomResource], path: tuple[str | int, ...], value: Any
) -> None:
    manifest = yaml.safe_load((KUBERNETES / "cluster" / "raycluster.yaml").read_text("utf-8"))
    assert definitions["RayCluster"].errors(manifest) == []
    node = manifest
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = value
    assert definitions["RayCluster"].errors(manifest)


@pytest.mark.parametrize("size", SIZES)
def test_a_round_has_the_same_cluster_as_its_size(size: str) -> None:
    alone, of_job = cluster_spec(size), cluster_spec(f"{size}/round")
    assert [group["replicas"] for group in alone["workerGroupSpecs"]] == [0, 0]
    assert of_job == alone


def test_a_round_ends_with_its_cluster(folder: str) -> None:
    for job in of_kind(folder, "RayJob"):
        spec = job["spec"]
        assert spec["shutdownAfterJobFinishes"] and spec["ttlSecondsAfterFinished"] > 0
        assert spec["backoffLimit"] > 0
        match = re.fullmatch(r"rayboot round --config /configs/([\w-]+\.yaml)", spec["entrypoint"])
        assert match is not None
        config = load_config(RoundConfig, ROOT / "configs" / match[1])
        # Files that must outlive the head are on its volume, files that all nodes write are in
        # the bucket, and runs are in the MLflow server of the same namespace.
        assert config.output.startswith("/shared/")
        assert config.storage is not None and config.storage.startswith("s3://")
        assert config.tracking_uri == "http://mlflow:5000"


def test_the_service_is_one_that_ray_serve_and_rayboot_understand() -> None:
    (service,) = of_kind("small/service", "RayService")
    config = ServeDeploySchema(**yaml.safe_load(service["spec"]["serveConfigV2"]))
    (application,) = config.applications
    module, _, name = application.import_path.partition(":")
    assert callable(getattr(importlib.import_module(module), name))
    parsed = parse_config(ServeConfig, application.args, source="args")
    assert isinstance(parsed.replicas, Autoscaling) and parsed.replicas.max_replicas > 1
    # Every node with a replica answers; its port is open to the operator and to marked clients.
    assert (config.http_options.host, config.http_options.port) == ("0.0.0.0", 8000)
    policies = of_kind("small/service", "NetworkPolicy")
    rules = [rule for policy in policies for rule in policy["spec"].get("ingress", [])]
    assert [rule["ports"] for rule in rules] == [[{"protocol": "TCP", "port": 8000}]]
    for pod in pods("small/service"):
        (container,) = containers(pod)
        token = {entry["name"]: entry for entry in container["env"]}[TOKEN_VARIABLE]
        assert token["valueFrom"]["secretKeyRef"] == {"name": SERVICE_SECRET, "key": "token"}


def test_the_service_of_a_cluster_requires_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)
    with pytest.raises(RequestError, match="requires a token"):
        build({"model": "builtin:compact", "host": "127.0.0.1"})
    with pytest.raises(RequestError, match="modle"):
        build({"modle": "builtin:compact"})
    monkeypatch.setenv(TOKEN_VARIABLE, "0123456789abcdef")
    assert build({"model": "builtin:compact"}) is not None


def test_versions_are_equal_to_those_of_the_project(folder: str) -> None:
    pins = dict(
        line.split("==") for line in (ROOT / "constraints.txt").read_text().split() if "==" in line
    )
    assert cluster_spec(folder)["rayVersion"] == pins["ray"]
    for pod in pods(folder):
        for container in containers(pod):
            name, _, tag = container["image"].rpartition(":")
            assert name and tag not in ("", "latest"), container["image"]
            if name.split("/")[-1].startswith("rayboot-"):
                assert tag == __version__


def test_images_come_from_the_registry_of_the_site(folder: str) -> None:
    lines = (KUBERNETES / "site" / "site.env").read_text().splitlines()
    (registry,) = (line.removeprefix("REGISTRY=") for line in lines if "REGISTRY=" in line)
    own = {c["image"] for pod in pods(folder) for c in containers(pod) if "rayboot" in c["image"]}
    assert own <= {f"{registry}/rayboot-{kind}:{__version__}" for kind in ("cpu", "gpu", "mlflow")}
    by_owner = {pod.owner: pod.spec["containers"][0]["image"] for pod in pods(folder)}
    assert "rayboot-gpu" in by_owner["gpu"] and "rayboot-cpu" in by_owner["cpu"]
    text = yaml.safe_dump_all(render(folder))
    assert not re.search(r"\bREGISTRY/|SHARED_STORAGE_CLASS$", text, re.MULTILINE)


def test_the_head_does_no_work_and_nodes_scale_from_zero(folder: str) -> None:
    spec = cluster_spec(folder)
    assert spec["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    assert spec["enableInTreeAutoscaling"] is True
    assert [group["groupName"] for group in spec["workerGroupSpecs"]] == ["gpu", "cpu"]
    for group in spec["workerGroupSpecs"]:
        assert group["minReplicas"] == 0
        assert group["replicas"] == 0 < group["maxReplicas"]
        keys = {toleration["key"] for toleration in group["template"]["spec"]["tolerations"]}
        assert "rayboot/spot" in keys
        assert ("nvidia.com/gpu" in keys) == (group["groupName"] == "gpu")
    (head,) = spec["headGroupSpec"]["template"]["spec"]["containers"]
    wait_s = {entry["name"]: entry.get("value") for entry in head["env"]}[WAIT_VARIABLE]
    assert float(wait_s) >= 600, "a cloud takes minutes to start nodes"
    # Single pods do not run on nodes that may be preempted.
    for pod in pods(folder):
        assert pod.owner in ("gpu", "cpu") or not pod.spec.get("tolerations")


def test_a_lost_head_recovers_its_cluster(folder: str) -> None:
    options = cluster_spec(folder)["gcsFaultToleranceOptions"]
    assert options["redisAddress"] == "redis:6379"
    assert options["redisPassword"]["valueFrom"]["secretKeyRef"]["name"] == "redis"


def test_ray_and_mlflow_require_authentication(folder: str) -> None:
    options = cluster_spec(folder)["authOptions"]
    assert options == {"mode": "token", "secretName": "ray-token"}
    for server in of_kind(folder, "Deployment"):
        (container,) = server["spec"]["template"]["spec"]["containers"]
        assert "--app-name=basic-auth" in container["command"]
        (hosts,) = (word for word in container["command"] if word.startswith("--allowed-hosts="))
        assert "*" not in hosts


def test_the_options_of_mlflow_exist() -> None:
    (server,) = of_kind("small", "Deployment")
    (container,) = server["spec"]["template"]["spec"]["containers"]
    options = [word.split("=")[0] for word in container["command"] if word.startswith("--")]
    command = [sys.executable, "-m", "mlflow", "server", "--help"]
    text = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
    assert options and all(re.search(rf"{option}\b", text) for option in options)


def test_secrets_are_referenced_and_not_contained(folder: str) -> None:
    assert of_kind(folder, "Secret") == []
    named = set()
    for key, value in walk(list(render(folder))):
        if key in ("secretKeyRef", "secretRef"):
            named.add(value["name"])
        elif key == "secretName":
            named.add(value)
        elif key == "env":
            named_secret = re.compile(r"PASSWORD|TOKEN|KEY|_AUTH$|STORE_URI$")
            for variable in value:
                # The path of a file that contains a secret is not secret.
                if named_secret.search(variable["name"].removesuffix("_PASSWORD_FILE")):
                    assert "secretKeyRef" in variable["valueFrom"], variable["name"]
    assert named <= SECRETS | {SERVICE_SECRET}
    if "/" not in folder:
        assert named == SECRETS
    assert (SERVICE_SECRET in named) == folder.endswith("/service")


def test_the_documentation_describes_how_to_create_each_secret() -> None:
    text = (ROOT / "docs/guides/clusters.md").read_text("utf-8")
    created = re.findall(r"kubectl create secret generic ([\w-]+)", text)
    assert set(created) == SECRETS | {SERVICE_SECRET}


def test_no_pod_has_more_rights_than_it_needs(folder: str) -> None:
    accounts = {account["metadata"]["name"] for account in of_kind(folder, "ServiceAccount")}
    for pod in pods(folder):
        assert pod.spec["automountServiceAccountToken"] is False
        assert pod.spec["serviceAccountName"] != "default"
        assert not accounts or pod.spec["serviceAccountName"] in accounts | {"submitter"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.spec.keys()
        user = pod.spec["securityContext"]
        assert user["runAsNonRoot"] is True and user["runAsUser"] > 0
        assert user["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in [*containers(pod), autoscaler(folder)]:
            rights = container["securityContext"]
            assert rights["allowPrivilegeEscalation"] is False
            assert rights["readOnlyRootFilesystem"] is True
            assert rights["capabilities"] == {"drop": ["ALL"]}
    for account in of_kind(folder, "ServiceAccount"):
        assert account["automountServiceAccountToken"] is False
    assert not [m for m in render(folder) if "Role" in m["kind"]]


def test_only_the_autoscaler_can_access_kubernetes(folder: str) -> None:
    path = "/var/run/secrets/kubernetes.io/serviceaccount"
    for pod in pods(folder):
        for container in containers(pod):
            assert path not in [mount["mountPath"] for mount in container["volumeMounts"]]
        tokens = [v for v in pod.spec["volumes"] if "projected" in v]
        assert [v["name"] for v in tokens] == ["kubernetes-token"] * (pod.owner == "head")
    assert path in [mount["mountPath"] for mount in autoscaler(folder)["volumeMounts"]]


def test_mounted_volumes_exist(folder: str) -> None:
    for pod in pods(folder):
        volumes = {volume["name"] for volume in pod.spec["volumes"]}
        claims = [m for m in of_kind(folder, "StatefulSet") if m["metadata"]["name"] == pod.owner]
        for claim in claims:
            volumes |= {v["metadata"]["name"] for v in claim["spec"]["volumeClaimTemplates"]}
        mounts = [m for container in containers(pod) for m in container["volumeMounts"]]
        if pod.owner == "head":
            mounts += autoscaler(folder)["volumeMounts"]
        assert {mount["name"] for mount in mounts} <= volumes
        # Only volumes are writable, and Ray and libraries write temporary files.
        if pod.owner in ("head", "gpu", "cpu"):
            assert "/tmp" in [mount["mountPath"] for mount in mounts]


def test_every_pod_declares_its_resources(folder: str) -> None:
    for pod in pods(folder):
        for container in [*containers(pod), autoscaler(folder)]:
            requests, limits = (container["resources"][key] for key in ("requests", "limits"))
            assert {"cpu", "memory"} <= requests.keys()
            # A pod that uses more memory than it requests may be killed.
            assert requests["memory"] == limits["memory"]
        if pod.owner in ("head", "gpu", "cpu"):
            # Ray declares the limit as CPUs, but Kubernetes reserves only the request.
            assert requests["cpu"] == limits["cpu"]


def test_single_pods_are_not_evicted() -> None:
    budgets = of_kind("small", "PodDisruptionBudget")
    protected = set()
    for budget in budgets:
        # Percentages, and maxUnavailable, need an owner that Kubernetes can scale.
        assert budget["spec"]["minAvailable"] == 1
        labels = budget["spec"]["selector"]["matchLabels"].items()
        protected |= {pod.owner for pod in pods("small") if labels <= pod.labels.items()}
    assert protected == {"head", "mlflow", "postgres", "redis"}


def test_everything_is_in_one_namespace(folder: str) -> None:
    for manifest in render(folder):
        where: Manifest = manifest["metadata"]
        assert where["name" if manifest["kind"] == "Namespace" else "namespace"] == "rayboot"
    for namespace in of_kind(folder, "Namespace"):
        assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_the_images_that_docs_build_are_those_of_the_manifests() -> None:
    text = (ROOT / "docs/guides/clusters.md").read_text("utf-8")
    built = set(re.findall(r'(?:-t|docker tag \S+) "\$registry/([\w.:-]+)"', text))
    used = {
        container["image"].rpartition("/")[2]
        for folder in FOLDERS
        for pod in pods(folder)
        for container in containers(pod)
        if "/rayboot-" in container["image"]
    }
    assert built == used == {f"rayboot-{name}:{__version__}" for name in ("gpu", "cpu", "mlflow")}


def test_an_image_of_ones_own_for_an_existing_cluster_has_what_rayboot_needs() -> None:
    """The page's Dockerfile: this version, an extra that exists, the libraries of the renderer."""
    text = (ROOT / "docs/guides/clusters.md").read_text("utf-8")
    section = text.split("\n## A cluster that exists already\n")[1].split("\n## ")[0]
    (recipe,) = re.findall(r"```dockerfile\n(.*?)```", section, re.DOTALL)
    wheel = f"rayboot-{__version__}-py3-none-any.whl"
    assert set(re.findall(r"rayboot-[\w.-]+whl", recipe)) == {wheel}
    assert re.findall(r"^ *COPY (.*) /tmp/$", recipe, re.MULTILINE) == [
        f"dist/{wheel} constraints.txt"
    ]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    (extra,) = re.findall(r"whl\[(\w+)\]", recipe)
    (ray,) = [p for p in project["optional-dependencies"][extra] if p.startswith("ray[")]
    lowest, beyond = re.findall(r"\d+\.\d+", ray)
    assert f"{lowest} or later, below {beyond}" in section
    install = (ROOT / "infra/install.sh").read_text("utf-8")
    (needed,) = re.findall(r"^egl_packages=\((.*)\)$", install, re.MULTILINE)
    assert set(needed.split()) <= set(recipe.split())
    # The places of images that the page names are those of this project's cluster.
    (cluster,) = [m for m in render("small") if m["kind"] == "RayCluster"]
    groups = [cluster["spec"]["headGroupSpec"], *cluster["spec"]["workerGroupSpecs"]]
    assert all(c["image"] for g in groups for c in g["template"]["spec"]["containers"])
    for place in ("spec.headGroupSpec.template", "spec.workerGroupSpecs"):
        assert place in section
