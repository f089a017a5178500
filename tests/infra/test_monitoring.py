"""The config of Prometheus and the dashboard, without a running Prometheus."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.stack.prometheus import CONFIG, prometheus_config
from tests.infra.dashboard import DASHBOARD, panels, queries

ROOT = Path(__file__).resolve().parents[2]
GRAFANA = ROOT / "infra/grafana"


def promtool(*arguments: str) -> str:
    if shutil.which("promtool") is None:
        if os.environ.get("RAYBOOT_REQUIRE_PROMTOOL") == "1":
            pytest.fail("no program promtool; RAYBOOT_REQUIRE_PROMTOOL=1 forbids skipping")
        pytest.skip("no program promtool (apt-get install prometheus)")
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_config_for_compose_is_valid() -> None:
    # The token file exists only in the container.
    promtool("check", "config", "--syntax-only", str(CONFIG))


def test_the_config_of_a_local_stack_is_valid(tmp_path: Path) -> None:
    token = tmp_path / "ray-token"
    token.write_text("secret")
    file = tmp_path / "prometheus.yml"
    file.write_text(prometheus_config("http://127.0.0.1:1234", token))
    promtool("check", "config", str(file))
    (scrape,) = yaml.safe_load(file.read_text())["scrape_configs"]
    (discovery,) = scrape["http_sd_configs"]
    assert discovery["url"] == "http://127.0.0.1:1234/api/prometheus/sd"
    # Without the type Debian's Prometheus sends the token in a form that Ray refuses.
    assert discovery["authorization"] == {"type": "Bearer", "credentials_file": str(token)}


def test_the_dashboard_has_the_panels_of_a_run() -> None:
    titles = {panel["title"] for panel in panels()}
    assert {
        "Faces a second by stage", "Queue depth", "Busy share of each pool", "Rejects by reason",
        "Object store memory", "GPU", "Training loss", "NME by yaw",
    } <= titles  # fmt: skip


@pytest.mark.parametrize("panel", panels(), ids=lambda panel: panel["title"])
def test_a_panel_is_complete(panel: dict[str, Any]) -> None:
    assert panel["description"].endswith(".")
    assert queries(panel) and all(queries(panel))
    assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])


def test_panels_do_not_overlap_and_have_distinct_ids() -> None:
    occupied: set[tuple[int, int]] = set()
    for panel in panels():
        grid = panel["gridPos"]
        rows, columns = (
            range(grid["y"], grid["y"] + grid["h"]),
            range(grid["x"], grid["x"] + grid["w"]),
        )
        cells = {(row, column) for row in rows for column in columns}
        assert not cells & occupied and grid["x"] + grid["w"] <= 24, panel["title"]
        occupied |= cells
    assert len({panel["id"] for panel in panels()}) == len(panels())


def test_queries_parse(tmp_path: Path) -> None:
    # promtool cannot check single queries, but it checks them as rules.
    rules = [
        {"record": f"panel:{panel['id']}:{number}", "expr": query}
        for panel in panels()
        for number, query in enumerate(queries(panel))
    ]
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    assert f"{len(rules)} rules found" in promtool("check", "rules", str(file))


def exported_metrics() -> set[str]:
    """Returns the names of the metrics in rayboot's code, as Prometheus exports them."""
    code = "".join(path.read_text("utf-8") for path in (ROOT / "rayboot").rglob("*.py"))
    names = re.findall(r'metrics\.(?:Counter|Gauge|Histogram)\(\s*"(\w+)"', code)
    return {f"ray_{name}" for name in names}


def test_queries_name_metrics_that_are_exported() -> None:
    queried = set(re.findall(r"\bray_rayboot_\w+", DASHBOARD.read_text("utf-8")))
    assert queried == exported_metrics()


def test_grafana_finds_dashboard_and_data_source() -> None:
    (source,) = yaml.safe_load(
        (GRAFANA / "provisioning/datasources/prometheus.yaml").read_text("utf-8")
    )["datasources"]
    used = {target["datasource"]["uid"] for panel in panels() for target in panel["targets"]}
    assert used == {source["uid"]}
    (provider,) = yaml.safe_load(
        (GRAFANA / "provisioning/dashboards/rayboot.yaml").read_text("utf-8")
    )["providers"]
    compose = (ROOT / "infra/compose.yaml").read_text("utf-8")
    assert f"./grafana/rayboot.json:{provider['options']['path']}/rayboot.json:ro" in compose
    assert json.loads(DASHBOARD.read_text("utf-8"))["uid"] == "rayboot"
