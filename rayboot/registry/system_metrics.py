"""Logging the load of a worker's processor, memory and GPU while it trains."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

from rayboot.registry.runs import Run

__all__ = ["system_metrics_logger"]

_LOG = logging.getLogger(__name__)

_INTERVAL_S = 10.0

# At INFO, MLflow's monitor announces its start and end in every worker's log.
logging.getLogger("mlflow.system_metrics").setLevel(logging.WARNING)


@contextmanager
def system_metrics_logger(run: Run | None, node: str) -> Iterator[None]:
    """Logs ``system/NODE/...`` every ten seconds during a ``with`` block, and at its end.

    MLflow's own monitor does so in a thread; values that its server does not accept are lost.

    Args:
        run: run that the metrics belong to; None logs nothing.
        node: name of the machine or worker.
    """
    if run is None:
        yield
        return
    monitor = SystemMetricsMonitor(
        run.run_id,
        sampling_interval=_INTERVAL_S,
        samples_before_logging=1,
        resume_logging=True,
        node_id=node,
        tracking_uri=run.tracking_uri,
    )
    monitor.start()
    try:
        yield
    finally:
        monitor.finish()
        _log_last_sample(monitor)


def _log_last_sample(monitor: SystemMetricsMonitor) -> None:
    """Logs the sample that MLflow drops when its monitor ends before the interval does."""
    try:
        metrics = monitor.aggregate_metrics()
        if metrics:
            monitor.publish_metrics(metrics)
            monitor.mlflow_logger.flush()
    except Exception as error:  # whatever a client raises while its server is unavailable
        _LOG.warning("MLflow is unavailable (%s); the last system metrics are lost", error)
