"""The files under infra/aws, with settings put in."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import ray.autoscaler
import yaml

from rayboot import __version__
from rayboot.config import load_config
from rayboot.pipeline.generate_config import GenerateConfig
from rayboot.train.training_config import FinetuneConfig
from tests.infra.manifests import ROOT
from tests.infra.nodes import NodeGroup, find_problems, pipeline, training

AWS = ROOT / "infra" / "aws"
SETTINGS = {
    "ACCOUNT": "111122223333",
    "IMAGE": "ami-0123456789abcdef0",
    "SUBNET": "subnet-0123456789abcdef0",
    "SECURITY_GROUP": "sg-0123456789abcdef0",
    "PHOTOS_BUCKET": "faces",
    "RUNS_BUCKET": "work",
}
# Of the types that cluster.yaml names, by their vendor's description: cores, GPUs, GiB.
TYPES = {"m7i.xlarge": (4, 0, 16), "g6.4xlarge": (16, 1, 64), "c7i.4xlarge": (16, 0, 32)}

DATA_ACTIONS = {
    "s3:ListBucket",
    "s3:GetObject",
    "s3:PutObject",
    "s3:DeleteObject",
    "s3:AbortMultipartUpload",
    "s3:ListMultipartUploadParts",
}
HEAD_ACTIONS = {
    "ec2:DescribeInstances",
    "ec2:DescribeInstanceTypes",
    "ec2:DescribeImages",
    "ec2:RunInstances",
    "ec2:CreateTags",
    "ec2:TerminateInstances",
    "iam:PassRole",
}


def render(settings: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    command = ["bash", str(AWS / "render.sh"), str(settings), str(folder)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def filled(settings: dict[str, str]) -> str:
    lines = (AWS / "settings.env").read_text("utf-8").splitlines()
    names = [line.split("=")[0] for line in lines]
    return "\n".join(
        f"{name}={settings[name]}" if name in settings else line
        for name, line in zip(names, lines, strict=True)
    )


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("aws")
    (folder / "settings.env").write_text(filled(SETTINGS))
    done = render(folder / "settings.env", folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def cluster(rendered: Path) -> dict[str, Any]:
    return yaml.safe_load((rendered / "cluster.yaml").read_text("utf-8"))


def statements(folder: Path, name: str) -> dict[str, dict[str, Any]]:
    found = json.loads((folder / name).read_text("utf-8"))["Statement"]
    assert all(statement["Effect"] == "Allow" for statement in found)
    return {statement["Sid"]: statement for statement in found}


def listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def test_what_is_not_set_is_refused_by_name(tmp_path: Path) -> None:
    for name in SETTINGS:
        (tmp_path / "settings.env").write_text(filled(SETTINGS | {name: ""}))
        done = render(tmp_path / "settings.env", tmp_path / "out")
        assert done.returncode == 2 and name in done.stderr
    assert not (tmp_path / "out").exists()


def test_nothing_is_left_to_put_in(rendered: Path) -> None:
    for path in rendered.iterdir():
        if path.suffix in (".yaml", ".json"):
            assert "${" not in path.read_text("utf-8"), path.name


def test_the_launcher_takes_the_cluster(cluster: dict[str, Any]) -> None:
    schema = json.loads((Path(ray.autoscaler.__path__[0]) / "ray-schema.json").read_text("utf-8"))
    jsonschema.validate(cluster, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(cluster | {"head_setup_comands": []}, schema)
    assert cluster["head_node_type"] in cluster["available_node_types"]


def test_the_head_does_no_work_and_nodes_come_from_zero(cluster: dict[str, Any]) -> None:
    nodes = cluster["available_node_types"]
    assert set(nodes) == {"head", "gpu", "cpu"}
    assert nodes["head"]["resources"] == {"CPU": 0}
    assert any("--num-cpus=0" in command for command in cluster["head_start_ray_commands"])
    for name in ("gpu", "cpu"):
        assert nodes[name]["min_workers"] == 0
        assert nodes[name]["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"}
    assert "InstanceMarketOptions" not in nodes["head"]["node_config"]
    assert cluster["max_workers"] == sum(node["max_workers"] for node in nodes.values())
    assert cluster["provider"]["cache_stopped_nodes"] is False


def test_nodes_offer_less_than_there_is(cluster: dict[str, Any]) -> None:
    for node in cluster["available_node_types"].values():
        cores, gpus, _ = TYPES[node["node_config"]["InstanceType"]]
        assert node["resources"]["CPU"] < cores
        assert node["resources"].get("GPU", 0) == gpus


def test_no_port_is_open(cluster: dict[str, Any]) -> None:
    # Without a group of one's own the launcher makes one that lets SSH in from everywhere.
    assert "security_group" not in cluster["provider"]
    for node in cluster["available_node_types"].values():
        config = node["node_config"]
        assert config["SecurityGroupIds"] == [SETTINGS["SECURITY_GROUP"]]
        assert config["MetadataOptions"]["HttpTokens"] == "required"
        assert all(disk["Ebs"]["Encrypted"] for disk in config["BlockDeviceMappings"])
    (head,) = (c for c in cluster["head_start_ray_commands"] if "ray start" in c)
    assert "--dashboard-host=127.0.0.1" in head


def test_ray_knows_its_options(cluster: dict[str, Any]) -> None:
    commands = cluster["head_start_ray_commands"] + cluster["worker_start_ray_commands"]
    words = {word for command in commands for word in re.findall(r"--[a-z-]+", command)}
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--help"]
    known = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
    assert words and all(re.search(rf"{word}\b", known) for word in words)


def test_ray_asks_for_a_token(cluster: dict[str, Any]) -> None:
    for key in ("head_start_ray_commands", "worker_start_ray_commands"):
        (start,) = (command for command in cluster[key] if "ray start" in command)
        assert "RAY_AUTH_MODE=token" in start
    # A file of the user's, never a value here.
    assert cluster["file_mounts"]["/home/ubuntu/.ray/auth_token"] == "~/.ray/auth_token"


def test_the_nodes_get_this_version_and_what_it_needs(cluster: dict[str, Any]) -> None:
    commands = " ".join(cluster["setup_commands"])
    assert f"rayboot-{__version__}-py3-none-any.whl" in commands
    assert "-c ~/rayboot/constraints.txt" in commands
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert {"cluster", "detect", "gpu"} <= project["optional-dependencies"].keys()
    # The libraries for EGL are those that `make env` installs.
    install = (ROOT / "infra" / "install.sh").read_text("utf-8")
    libraries = install.split("egl_packages=(")[1].split(")")[0].split()
    assert set(libraries) <= set(commands.split())


def test_the_actors_have_room(cluster: dict[str, Any]) -> None:
    groups = {}
    for name, node in cluster["available_node_types"].items():
        memory_gib = TYPES[node["node_config"]["InstanceType"]][2]
        cpus, gpus = (float(node["resources"].get(key, 0)) for key in ("CPU", "GPU"))
        # A tenth is the system's.
        groups[name] = NodeGroup(name, node["max_workers"], cpus, gpus, 0.9 * memory_gib)
    spot = load_config(FinetuneConfig, ROOT / "configs" / "finetune-spot.yaml")
    assert find_problems(training(spot), groups.values()) == []
    pairs = load_config(GenerateConfig, ROOT / "configs" / "generate-gpu-cpu-nodes.yaml")
    assert find_problems(pipeline(pairs.pools), groups.values()) == []


def test_nodes_read_one_prefix_and_write_one(rendered: Path) -> None:
    found = statements(rendered, "data-policy.json")
    actions = {action for s in found.values() for action in listed(s["Action"])}
    assert actions == DATA_ACTIONS
    photos, runs = "arn:aws:s3:::faces", "arn:aws:s3:::work"
    assert {name: s["Resource"] for name, s in found.items()} == {
        "ListPhotos": photos,
        "CropFaces": f"{photos}/photos/*",
        "ListRuns": runs,
        "WriteRuns": f"{runs}/runs/*",
    }
    assert listed(found["CropFaces"]["Action"]) == ["s3:GetObject"]
    for name, prefix in (("ListPhotos", "photos"), ("ListRuns", "runs")):
        (condition,) = found[name]["Condition"].values()
        assert condition == {"s3:prefix": [prefix, f"{prefix}/*"]}


def test_the_head_starts_and_ends_its_own_nodes_alone(rendered: Path) -> None:
    found = statements(rendered, "head-policy.json")
    assert {a for s in found.values() for a in listed(s["Action"])} == HEAD_ACTIONS
    for name, statement in found.items():
        if "*" in listed(statement["Resource"]):
            # What lists takes no resource.
            assert all(a.startswith("ec2:Describe") for a in listed(statement["Action"])), name
    own = found["NameAndEndOwnNodes"]["Condition"]
    assert own == {"StringEquals": {"ec2:ResourceTag/ray-cluster-name": "rayboot"}}
    role = found["GiveNodesTheirRole"]["Resource"]
    assert role == f"arn:aws:iam::{SETTINGS['ACCOUNT']}:role/rayboot-worker"


def test_names_agree(cluster: dict[str, Any], rendered: Path) -> None:
    tag = statements(rendered, "head-policy.json")["NameAndEndOwnNodes"]["Condition"]
    assert tag["StringEquals"]["ec2:ResourceTag/ray-cluster-name"] == cluster["cluster_name"]
    profiles = {
        name: node["node_config"]["IamInstanceProfile"]["Name"]
        for name, node in cluster["available_node_types"].items()
    }
    assert profiles == {"head": "rayboot-head", "gpu": "rayboot-worker", "cpu": "rayboot-worker"}
