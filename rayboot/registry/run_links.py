"""Where a person looks at a run of MLflow."""

from mlflow.utils.uri import is_local_uri

from rayboot.credentials import redact_url_credentials

__all__ = ["describe_run_link"]


def describe_run_link(tracking_uri: str, experiment_id: str, run_id: str) -> str:
    """Returns the address of a run's page, or the command that opens a local store.

    Args:
        tracking_uri: absolute URI of the MLflow store.
        experiment_id: id of the run's experiment.
        run_id: id of the run.
    """
    page = f"/#/experiments/{experiment_id}/runs/{run_id}"
    if tracking_uri.startswith(("http://", "https://")):
        return redact_url_credentials(f"{tracking_uri.rstrip('/')}{page}")
    if tracking_uri.startswith("sqlite:") or is_local_uri(tracking_uri):
        return (
            f"http://127.0.0.1:5000{page} during `mlflow ui --backend-store-uri '{tracking_uri}'`"
        )
    return redact_url_credentials(f"run {run_id} of experiment {experiment_id} in {tracking_uri}")
