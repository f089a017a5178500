"""Prometheus, from the system's package: what Ray and rayboot count, over time."""

import shutil
from pathlib import Path
from typing import ClassVar

import yaml

from infra.stack.errors import StackError
from infra.stack.layout import LOOPBACK
from infra.stack.ray_nodes import RayHead
from infra.stack.service import Service, http_problem

__all__ = ["CONFIG", "Prometheus", "prometheus_config"]

CONFIG = Path(__file__).resolve().parents[1] / "prometheus.yml"

_REMEDY = (
    "sudo apt-get update && sudo apt-get install -y --no-install-recommends prometheus "
    "(where the package starts a service of its own: sudo systemctl disable --now prometheus), "
    "or go without: make stack ARGS=--without-prometheus"
)


class Prometheus(Service):
    """Keeps two weeks of figures below the stack's folder."""

    name: str = "prometheus"
    ends_within_s: ClassVar[float] = 20.0

    def __init__(self, head: RayHead) -> None:
        super().__init__(head.place)
        self._head = head
        self._program = shutil.which("prometheus")
        if self._program is None:
            raise StackError(f"no program `prometheus`; {_REMEDY}")

    @property
    def url(self) -> str:
        """Of its page and its API."""
        return self.place.url("prometheus")

    def command(self) -> list[str]:
        """Its own config and data, whatever the system's service has."""
        config = self.place.folder / "prometheus.yml"
        config.write_text(prometheus_config(self._head.url, self.place.ray_token))
        assert self._program is not None
        return [
            self._program,
            f"--config.file={config}",
            f"--storage.tsdb.path={self.place.data('prometheus')}",
            "--storage.tsdb.retention.time=14d",
            f"--web.listen-address={LOOPBACK}:{self.place.ports['prometheus']}",
        ]

    def problem(self) -> str | None:
        """It is ready when it says so."""
        return http_problem(f"{self.url}/-/ready")


def prometheus_config(ray_url: str, token: Path) -> str:
    """The config of ``infra/prometheus.yml`` for a cluster elsewhere.

    Args:
        ray_url: of the dashboard.
        token: file that holds the cluster's.
    """
    config = yaml.safe_load(CONFIG.read_text("utf-8"))
    (scrape,) = config["scrape_configs"]
    (discovery,) = scrape["http_sd_configs"]
    discovery["url"] = f"{ray_url}/api/prometheus/sd"
    discovery["authorization"]["credentials_file"] = str(token)
    return yaml.safe_dump(config, sort_keys=False)
