"""Runs in MLflow: opened by the driver, written to by whoever has the id."""

import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from mlflow.utils.time import get_current_time_millis

from rayboot.credentials import explain_url_credentials, find_credentialed_url
from rayboot.errors import RequestError

__all__ = [
    "Run",
    "absolute_tracking_uri",
    "default_tracking_uri",
    "make_client",
    "open_run",
    "resume_run",
]

# The store's addresses of a run on stdout would come between the results.
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")

_PARAMS_AT_ONCE, _METRICS_AT_ONCE = 100, 1000
_LONGEST_PARAM = 6000
_DIGEST_LENGTH = 36
"""Of a data set in MLflow's tables."""


class Run:
    """One MLflow run; a thin handle that survives a restart of its writer.

    While a server does not answer, MLflow itself tries for some minutes. Whoever must not
    wait hands figures to a :class:`rayboot.registry.metric_logger.AsyncMetricLogger`.

    Args:
        tracking_uri: of the store, such as ``sqlite:///mlflow.db``.
        run_id: of an open run.
    """

    def __init__(self, tracking_uri: str, run_id: str) -> None:
        self.tracking_uri, self.run_id = tracking_uri, run_id
        self._client = make_client(tracking_uri)

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Records parameters, nested ones as ``outer.inner``; a former value stays."""
        known = self._client.get_run(self.run_id).data.params
        flat = [
            Param(key, str(value)[:_LONGEST_PARAM])
            for key, value in _flatten(params).items()
            if key not in known
        ]
        for start in range(0, len(flat), _PARAMS_AT_ONCE):
            self._client.log_batch(self.run_id, params=flat[start : start + _PARAMS_AT_ONCE])

    def log_metrics(self, metrics: Mapping[str, float], step: int = 0) -> None:
        """Records figures at a step."""
        now = get_current_time_millis()
        self.log_points([Metric(key, float(value), now, step) for key, value in metrics.items()])

    def log_points(self, points: list[Metric]) -> None:
        """Records figures, each with its own time and step."""
        for start in range(0, len(points), _METRICS_AT_ONCE):
            self._client.log_batch(self.run_id, metrics=points[start : start + _METRICS_AT_ONCE])

    def last_steps(self) -> dict[str, int]:
        """The last step that the run has of each metric."""
        metrics = self._client.get_run(self.run_id).data.to_proto().metrics
        return {metric.key: int(metric.step) for metric in metrics}

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Records tags."""
        self._client.log_batch(self.run_id, tags=[RunTag(k, str(v)) for k, v in tags.items()])

    def log_file(self, path: str | Path, folder: str | None = None) -> None:
        """Keeps a file as an artifact."""
        self._client.log_artifact(self.run_id, str(path), folder)

    def log_bytes(self, name: str, payload: bytes) -> None:
        """Keeps ``payload`` as the artifact ``name``."""
        folder, _, base = name.rpartition("/")
        with tempfile.TemporaryDirectory() as scratch:
            file = Path(scratch) / base
            file.write_bytes(payload)
            self.log_file(file, folder or None)

    def log_dataset(self, name: str, uri: str, digest: str, profile: Mapping[str, Any]) -> None:
        """Records the data that the run learns from.

        Args:
            name: for people.
            uri: where it lies.
            digest: of its manifest, hex; MLflow keeps the first 36 characters.
            profile: counts and the like.
        """
        data = Dataset(
            name=name,
            digest=digest[:_DIGEST_LENGTH],
            source_type="rayboot",
            source=json.dumps({"uri": uri}),
            profile=json.dumps(dict(profile)),
        )
        use = DatasetInput(data, [InputTag("mlflow.data.context", "training")])
        self._client.log_inputs(self.run_id, [use])

    @contextmanager
    def closing(self) -> Iterator[None]:
        """Ends the run with a ``with`` block: as finished, or as failed where it raises."""
        try:
            yield
        except BaseException:  # an interrupted run has failed as well
            self._client.set_terminated(self.run_id, "FAILED")
            raise
        self._client.set_terminated(self.run_id, "FINISHED")


def make_client(tracking_uri: str | None) -> MlflowClient:
    """A client of one store, whose registry is its own; None is MLflow's own setting.

    Told of the tracking store alone, MLflow would ask whatever registry the process was last
    set to.

    Raises:
        RequestError: the URI has a login in it.
    """
    set_to = tracking_uri or os.environ.get("MLFLOW_TRACKING_URI", "")
    if (url := find_credentialed_url(set_to)) is not None:
        raise RequestError(f"MLflow's tracking URI {explain_url_credentials(url)}")
    return MlflowClient(tracking_uri=tracking_uri, registry_uri=tracking_uri)


def default_tracking_uri() -> str:
    """MLflow's own setting: ``MLFLOW_TRACKING_URI``, or a SQLite store in this folder."""
    return os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///mlflow.db"


def absolute_tracking_uri(tracking_uri: str) -> str:
    """The same store for processes in other folders: a SQLite file by its absolute path."""
    scheme, path = "sqlite:///", tracking_uri.removeprefix("sqlite:///")
    if path == tracking_uri or path.startswith(":"):
        return tracking_uri
    return scheme + str(Path(path).resolve())


def open_run(tracking_uri: str, experiment: str, name: str, artifacts: str | None = None) -> Run:
    """Starts a run, making its experiment where there is none.

    Args:
        tracking_uri: of the store.
        experiment: by name.
        name: of the run, for people.
        artifacts: where a new experiment keeps files; by default the store decides.
    """
    client = make_client(tracking_uri)
    experiment_id = _experiment_id(client, experiment, artifacts)
    return Run(tracking_uri, client.create_run(experiment_id, run_name=name).info.run_id)


def resume_run(tracking_uri: str, run_id: str) -> Run:
    """Goes on with a run that was stopped: it counts as running again.

    Raises:
        RequestError: the store has no such run.
    """
    client = make_client(tracking_uri)
    try:
        client.update_run(run_id, status="RUNNING")
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        raise RequestError(
            f"run {run_id}: not in the MLflow store {tracking_uri}, where it was begun; give the "
            "same store again, or choose a new name or output"
        ) from error
    return Run(tracking_uri, run_id)


def _experiment_id(client: MlflowClient, name: str, artifacts: str | None) -> str:
    found = client.get_experiment_by_name(name)
    if found is not None:
        return str(found.experiment_id)
    try:
        return str(client.create_experiment(name, artifact_location=artifacts))
    except MlflowException:
        # Another run may have made it in between.
        found = client.get_experiment_by_name(name)
        if found is None:
            raise
        return str(found.experiment_id)


def _flatten(params: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in params.items():
        if isinstance(value, Mapping):
            flat |= _flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
