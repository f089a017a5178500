"""Runs in MLflow: opened by the driver, written to by whoever has the id."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mlflow.tracking import MlflowClient

__all__ = ["Run", "default_tracking_uri", "open_run"]


class Run:
    """One MLflow run; a thin handle that survives a restart of its writer.

    Args:
        tracking_uri: of the store, such as ``sqlite:///mlflow.db``.
        run_id: of an open run.
    """

    def __init__(self, tracking_uri: str, run_id: str) -> None:
        self.tracking_uri, self.run_id = tracking_uri, run_id
        self._client = MlflowClient(tracking_uri=tracking_uri)

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Records parameters, nested ones as ``outer.inner``."""
        for key, value in _flatten(params).items():
            self._client.log_param(self.run_id, key, str(value)[:500])

    def log_metrics(self, metrics: Mapping[str, float], step: int = 0) -> None:
        """Records figures at a step."""
        for key, value in metrics.items():
            self._client.log_metric(self.run_id, key, float(value), step=step)

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Records tags."""
        for key, value in tags.items():
            self._client.set_tag(self.run_id, key, value)

    def log_file(self, path: str | Path, folder: str | None = None) -> None:
        """Keeps a file as an artifact."""
        self._client.log_artifact(self.run_id, str(path), folder)

    @contextmanager
    def closing(self) -> Iterator[None]:
        """Ends the run with a ``with`` block: as finished, or as failed where it raises."""
        try:
            yield
        except BaseException:  # an interrupted run has failed as well
            self._client.set_terminated(self.run_id, "FAILED")
            raise
        self._client.set_terminated(self.run_id, "FINISHED")


def default_tracking_uri() -> str:
    """MLflow's own setting: ``MLFLOW_TRACKING_URI``, or a SQLite store in this folder."""
    return os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///mlflow.db"


def open_run(tracking_uri: str, experiment: str, name: str, artifacts: str | None = None) -> Run:
    """Starts a run, making its experiment where there is none.

    Args:
        tracking_uri: of the store.
        experiment: by name.
        name: of the run, for people.
        artifacts: where a new experiment keeps files; by default the store decides.
    """
    client = MlflowClient(tracking_uri=tracking_uri)
    found = client.get_experiment_by_name(experiment)
    experiment_id = (
        found.experiment_id
        if found is not None
        else client.create_experiment(experiment, artifact_location=artifacts)
    )
    return Run(tracking_uri, client.create_run(experiment_id, run_name=name).info.run_id)


def _flatten(params: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in params.items():
        if isinstance(value, Mapping):
            flat |= _flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
