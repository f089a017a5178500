"""Prometheus, from the system's package, which collects the metrics of Ray and rayboot."""

import shutil
from pathlib import Path
from typing import ClassVar

import yaml

from infra.stack.errors import StackError
from infra.stack.layout import LOOPBACK
from infra.stack.ray_nodes import RayHead
from infra.stack.service import Service, find_http_problem

__all__ = ["CONFIG", "Prometheus", "prometheus_config"]

CONFIG = Path(__file__).resolve().parents[1] / "prometheus.yml"

_REMEDY = (
    "sudo apt-get update && sudo apt-get install -y --no-install-recommends prometheus "
    "(where the package starts a service of its own: sudo systemctl disable --now prometheus), "
    "or run the stack without it: make stack ARGS=--without-prometheus"
)


class Prometheus(Service):
    """Keeps the metrics of two weeks below the folder of the stack."""

    name: str = "prometheus"
    stop_timeout_s: ClassVar[float] = 20.0

    def __init__(self, head: RayHead) -> None:
        super().__init__(head.layout)
        self._head = head
        self._program = shutil.which("prometheus")
        if self._program is None:
            raise StackError(f"no program `prometheus`; {_REMEDY}")

    @property
    def url(self) -> str:
        """Address of the web page and the API."""
        return self.layout.url("prometheus")

    def command(self) -> list[str]:
        """Returns the command, with a config and data of its own, not those of the system."""
        config = self.layout.folder / "prometheus.yml"
        config.write_text(prometheus_config(self._head.url, self.layout.ray_token))
        assert self._program is not None
        return [
            self._program,
            f"--config.file={config}",
            f"--storage.tsdb.path={self.layout.data('prometheus')}",
            "--storage.tsdb.retention.time=14d",
            f"--web.listen-address={LOOPBACK}:{self.layout.ports['prometheus']}",
        ]

    def find_problem(self) -> str | None:
        """Returns None when the page for readiness responds."""
        return find_http_problem(f"{self.url}/-/ready")


def prometheus_config(ray_url: str, token: Path) -> str:
    """Returns the config of ``infra/prometheus.yml`` with the address of another cluster.

    Args:
        ray_url: address of the dashboard.
        token: file that contains the token of the cluster.
    """
    config = yaml.safe_load(CONFIG.read_text("utf-8"))
    (scrape,) = config["scrape_configs"]
    (discovery,) = scrape["http_sd_configs"]
    discovery["url"] = f"{ray_url}/api/prometheus/sd"
    discovery["authorization"]["credentials_file"] = str(token)
    return yaml.safe_dump(config, sort_keys=False)
