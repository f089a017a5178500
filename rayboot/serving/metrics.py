"""Metrics of the service in the format of Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

__all__ = ["ServiceMetrics"]

_SECONDS = (0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 20, 30, 60)


class ServiceMetrics:
    """Counters of the reconstructions of one service; each has a registry of its own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "rayboot_serve_requests",
            "Finished reconstructions by HTTP status.",
            ["status"],
            registry=self._registry,
        )
        self._problems = Counter(
            "rayboot_serve_problems",
            "Refused reconstructions by stage and reason.",
            ["stage", "reason"],
            registry=self._registry,
        )
        self._seconds = Histogram(
            "rayboot_serve_seconds",
            "Time of a reconstruction, upload included.",
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._in_flight = Gauge(
            "rayboot_serve_in_flight", "Reconstructions in work.", registry=self._registry
        )
        self._replies = Counter(
            "rayboot_serve_replies",
            "Meshes and other results by the version of the model.",
            ["model"],
            registry=self._registry,
        )

    def begin(self) -> None:
        """Counts a reconstruction that begins."""
        self._in_flight.inc()

    def end(self, status: int, seconds: float) -> None:
        """Counts a reconstruction that ends."""
        self._in_flight.dec()
        self._requests.labels(str(status)).inc()
        self._seconds.observe(seconds)

    def count_problem(self, stage: str, reason: str) -> None:
        """Counts a refused reconstruction."""
        self._problems.labels(stage, reason).inc()

    def count_reply(self, model: str) -> None:
        """Counts a result."""
        self._replies.labels(model).inc()

    def render(self) -> bytes:
        """Returns the metrics as Prometheus reads them."""
        return generate_latest(self._registry)
