"""An MLflow run as plain values, for people who cannot reach its server."""

from typing import Any

from rayboot.registry.runs import make_client

__all__ = ["describe_run"]


def describe_run(tracking_uri: str, run_id: str) -> dict[str, Any]:
    """Returns status, times, parameters, tags, latest metrics and names of artifacts of a run.

    Args:
        tracking_uri: URI of the MLflow store.
        run_id: id of the run.

    Raises:
        Exception: any of MLflow's, where the run is unknown or the server is unavailable.
    """
    client = make_client(tracking_uri)
    run = client.get_run(run_id)
    return {
        "run_id": run_id,
        "name": run.info.run_name,
        "status": run.info.status,
        "start_time": run.info.start_time,
        "end_time": run.info.end_time,
        "params": dict(run.data.params),
        "tags": dict(run.data.tags),
        "metrics": dict(run.data.metrics),
        "artifacts": sorted(entry.path for entry in client.list_artifacts(run_id)),
    }
