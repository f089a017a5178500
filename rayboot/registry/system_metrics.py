"""Processor, memory and GPU of a worker's machine, recorded while it trains."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

from rayboot.registry.runs import Run

__all__ = ["system_metrics_logger"]

_INTERVAL_S = 10.0

# It tells at INFO that it starts and stops, in every worker's log.
logging.getLogger("mlflow.system_metrics").setLevel(logging.WARNING)


@contextmanager
def system_metrics_logger(run: Run | None, node: str) -> Iterator[None]:
    """Records ``system/NODE/...`` every ten seconds for the time of a ``with`` block.

    MLflow's own monitor, in a thread; figures that its server does not take are lost.

    Args:
        run: to record in; None records nothing.
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
