"""The image for machines without a GPU, built step by step in a minimal system, and run.

It takes minutes, and needs root and mmdebstrap (apt-get install mmdebstrap), but not Docker.
"""

import json
import os
import shutil
from collections.abc import Iterator

import pytest
from packageurl import PackageURL
from packaging.utils import canonicalize_name

import rayboot
from tests.infra.dockerfile import DOCKERFILE, ancestry, read_dockerfile
from tests.infra.image_build import Image, build, pip_settings

pytestmark = pytest.mark.slow

_, STAGES = read_dockerfile(DOCKERFILE.read_text("utf-8"))


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    if os.geteuid() != 0 or shutil.which("mmdebstrap") is None:
        pytest.skip("needs root and mmdebstrap")
    folder = tmp_path_factory.mktemp("image")
    folder.chmod(0o755)
    # PyTorch's own index may be unavailable; any build that pip finds is suitable for a test.
    index = pip_settings().get("index-url", "https://pypi.org/simple")
    yield build(STAGES, "cpu", folder, {"TORCH_CPU_INDEX": index})
    shutil.rmtree(folder, ignore_errors=True)


def output(image: Image, command: str, timeout_s: float = 300) -> str:
    done = image.run(command, timeout_s)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    return done.stdout


def test_commands_exist_and_rayboot_is_not_editable(image: Image) -> None:
    where = output(image, "python -c 'import rayboot; print(rayboot.__file__)'")
    assert where.startswith("/opt/rayboot/lib/")
    assert rayboot.__version__ in output(image, "rayboot --version")
    assert "jobs" in output(image, "ls && python jobs/pretrain.py --help")
    assert output(image, "id -u").strip() == "1000"
    assert "server" in output(image, "mlflow --help")
    output(image, "python -c 'import psycopg2, boto3, opencensus, grpc'")


def test_its_bill_of_materials_lists_the_installed_packages(image: Image) -> None:
    (label,) = [step for stage in ancestry(STAGES, "cpu") for step in stage.steps_of("LABEL")]
    labels = dict(word.split("=", 1) for word in label.words())
    bom = json.loads(output(image, f"cat {labels['rayboot.sbom']}"))
    assert bom["metadata"]["component"]["version"] == rayboot.__version__
    named = {component["purl"] for component in bom["components"]}
    listed = json.loads(output(image, "python -m pip list --format=json"))
    installed = {
        str(PackageURL("pypi", None, canonicalize_name(entry["name"]), entry["version"]))
        for entry in listed
        if entry["name"] != "rayboot"
    }
    assert {purl for purl in named if purl.startswith("pkg:pypi/")} == installed
    shown = output(image, "dpkg-query --show --showformat='${Package} ${Version}\\n'")
    debian = {component["name"]: component["version"] for component in bom["components"]}
    for line in shown.splitlines():
        name, version = line.split()
        assert debian[name] == version
    assert not (image.root / "opt/bom").exists()


def test_its_mlflow_can_require_a_login(image: Image) -> None:
    output(image, "python -c 'from mlflow.server.auth import create_app'")


def test_it_renders_without_a_gpu(image: Image) -> None:
    text = output(image, "rayboot doctor || true")
    assert [line for line in text.splitlines() if "EGL" in line and "ok" in line], text


def test_a_node_is_healthy_until_its_agent_does_not_respond(image: Image) -> None:
    (check,) = [step for stage in ancestry(STAGES, "cpu") for step in stage.steps_of("HEALTHCHECK")]
    path = check.text.split('"')[-2]
    text = output(
        image,
        "export RAY_AUTH_MODE=token RAY_AUTH_TOKEN=0123456789abcdef0123456789abcdef\n"
        "export RAYBOOT_AGENT_PORT=22901\n"
        f"python3 {path} && echo healthy without a node\n"
        "ray start --head --disable-usage-stats --num-cpus=1 --port=22902 --dashboard-port=22903"
        " --ray-client-server-port=22904 --dashboard-agent-listen-port=22901"
        " --min-worker-port=0 --max-worker-port=0 --object-store-memory=100000000 >/tmp/ray.out\n"
        f"for i in $(seq 60); do python3 {path} >/dev/null && break; sleep 1; done\n"
        f"python3 {path} && echo healthy with a node\n"
        "python3 -c \"import psutil; [p.suspend() for p in psutil.process_iter(['name'])"
        " if p.info['name'].startswith('ray::Dashboard')]\"\n"
        f"python3 {path} || echo not healthy any more\n",
        timeout_s=400,
    )
    for sentence in ("healthy without a node", "healthy with a node", "not healthy any more"):
        assert sentence in text
