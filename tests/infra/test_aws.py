"""The files in infra/aws, rendered with settings."""

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
# Instance types in cluster.yaml, as the vendor describes them: cores, GPUs, GiB of memory.
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


def fill_settings(settings: dict[str, str]) -> str:
    lines = (AWS / "settings.env").read_text("utf-8").splitlines()
    names = [line.split("=")[0] for line in lines]
    return "\n".join(
        f"{name}={settings[name]}" if name in settings else line
        for name, line in zip(names, lines, strict=True)
    )


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("aws")
    (folder / "settings.env").write_text(fill_settings(SETTINGS))
    done = render(folder / "settings.env", folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def cluster(rendered: Path) -> dict[str, Any]:
    return yaml.safe_load((rendered / "cluster.yaml").read_text("utf-8"))


def statements(folder: Path, name: str) -> dict[str, dict[str, Any]]:
    entries = json.loads((folder / name).read_text("utf-8"))["Statement"]
    assert all(statement["Effect"] == "Allow" for statement in entries)
    return {statement["Sid"]: statement for statement in entries}


def as_list(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def test_a_setting_without_a_value_is_refused_by_name(tmp_path: Path) -> None:
    for name in SETTINGS:
        (tmp_path / "settings.env").write_text(fill_settings(SETTINGS | {name: ""}))
        done = render(tmp_path / "settings.env", tmp_path / "out")
        assert done.returncode == 2 and name in done.stderr
    assert not (tmp_path / "out").exists()


def test_all_placeholders_are_replaced(rendered: Path) -> None:
    for path in rendered.iterdir():
        if path.suffix in (".yaml", ".json"):
            assert "${" not in path.read_text("utf-8"), path.name


def test_the_cluster_is_valid_for_the_launcher(cluster: dict[str, Any]) -> None:
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


def test_nodes_declare_fewer_cpus_than_cores(cluster: dict[str, Any]) -> None:
    for node in cluster["available_node_types"].values():
        cores, gpus, _ = TYPES[node["node_config"]["InstanceType"]]
        assert node["resources"]["CPU"] < cores
        assert node["resources"].get("GPU", 0) == gpus


def test_no_port_is_open(cluster: dict[str, Any]) -> None:
    # Without a group of ours the launcher creates one that allows SSH from everywhere.
    assert "security_group" not in cluster["provider"]
    for node in cluster["available_node_types"].values():
        config = node["node_config"]
        assert config["SecurityGroupIds"] == [SETTINGS["SECURITY_GROUP"]]
        assert config["MetadataOptions"]["HttpTokens"] == "required"
        assert all(disk["Ebs"]["Encrypted"] for disk in config["BlockDeviceMappings"])
    (head,) = (c for c in cluster["head_start_ray_commands"] if "ray start" in c)
    assert "--dashboard-host=127.0.0.1" in head


def test_the_options_of_ray_start_exist(cluster: dict[str, Any]) -> None:
    commands = cluster["head_start_ray_commands"] + cluster["worker_start_ray_commands"]
    options = {word for command in commands for word in re.findall(r"--[a-z-]+", command)}
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--help"]
    text = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
    assert options and all(re.search(rf"{option}\b", text) for option in options)


def test_ray_requires_a_token(cluster: dict[str, Any]) -> None:
    for key in ("head_start_ray_commands", "worker_start_ray_commands"):
        (start,) = (command for command in cluster[key] if "ray start" in command)
        assert "RAY_AUTH_MODE=token" in start
    # A file of the user, never a value in the config.
    assert cluster["file_mounts"]["/home/ubuntu/.ray/auth_token"] == "~/.ray/auth_token"


def test_the_nodes_install_this_version_and_its_dependencies(cluster: dict[str, Any]) -> None:
    commands = " ".join(cluster["setup_commands"])
    assert f"rayboot-{__version__}-py3-none-any.whl" in commands
    assert "-c ~/rayboot/constraints.txt" in commands
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert {"cluster", "detect", "gpu"} <= project["optional-dependencies"].keys()
    # `make env` installs the same libraries for EGL.
    install = (ROOT / "infra" / "install.sh").read_text("utf-8")
    libraries = install.split("egl_packages=(")[1].split(")")[0].split()
    assert set(libraries) <= set(commands.split())
    # torch.compile needs them on nodes with a GPU.
    assert {"gcc", "libc6-dev", "python3-dev"} <= set(commands.split())


def test_the_actors_fit_on_the_nodes(cluster: dict[str, Any]) -> None:
    groups = {}
    for name, node in cluster["available_node_types"].items():
        memory_gib = TYPES[node["node_config"]["InstanceType"]][2]
        cpus, gpus = (float(node["resources"].get(key, 0)) for key in ("CPU", "GPU"))
        # The system uses a tenth.
        groups[name] = NodeGroup(name, node["max_workers"], cpus, gpus, 0.9 * memory_gib)
    spot = load_config(FinetuneConfig, ROOT / "configs" / "finetune-spot.yaml")
    assert find_problems(training(spot), groups.values()) == []
    pairs = load_config(GenerateConfig, ROOT / "configs" / "generate-gpu-cpu-nodes.yaml")
    assert find_problems(pipeline(pairs.pools), groups.values()) == []


def test_nodes_may_read_one_prefix_and_write_one(rendered: Path) -> None:
    policy = statements(rendered, "data-policy.json")
    actions = {action for s in policy.values() for action in as_list(s["Action"])}
    assert actions == DATA_ACTIONS
    photos, runs = "arn:aws:s3:::faces", "arn:aws:s3:::work"
    assert {name: s["Resource"] for name, s in policy.items()} == {
        "ListPhotos": photos,
        "ReadPhotos": f"{photos}/photos/*",
        "ListRuns": runs,
        "WriteRuns": f"{runs}/runs/*",
    }
    assert as_list(policy["ReadPhotos"]["Action"]) == ["s3:GetObject"]
    for name, prefix in (("ListPhotos", "photos"), ("ListRuns", "runs")):
        (condition,) = policy[name]["Condition"].values()
        assert condition == {"s3:prefix": [prefix, f"{prefix}/*"]}


def test_the_head_may_start_and_end_only_its_own_nodes(rendered: Path) -> None:
    policy = statements(rendered, "head-policy.json")
    assert {a for s in policy.values() for a in as_list(s["Action"])} == HEAD_ACTIONS
    for name, statement in policy.items():
        if "*" in as_list(statement["Resource"]):
            # Actions that list have no resource.
            assert all(a.startswith("ec2:Describe") for a in as_list(statement["Action"])), name
    own = policy["NameAndEndOwnNodes"]["Condition"]
    assert own == {"StringEquals": {"ec2:ResourceTag/ray-cluster-name": "rayboot"}}
    role = policy["GiveNodesTheirRole"]["Resource"]
    assert role == f"arn:aws:iam::{SETTINGS['ACCOUNT']}:role/rayboot-worker"


def test_names_agree(cluster: dict[str, Any], rendered: Path) -> None:
    tag = statements(rendered, "head-policy.json")["NameAndEndOwnNodes"]["Condition"]
    assert tag["StringEquals"]["ec2:ResourceTag/ray-cluster-name"] == cluster["cluster_name"]
    profiles = {
        name: node["node_config"]["IamInstanceProfile"]["Name"]
        for name, node in cluster["available_node_types"].items()
    }
    assert profiles == {"head": "rayboot-head", "gpu": "rayboot-worker", "cpu": "rayboot-worker"}
