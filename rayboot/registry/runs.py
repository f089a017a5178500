"""Runs in MLflow: the driver opens a run, and every process that has its id can write to it."""

import json
import logging
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mlflow
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from mlflow.utils.time import get_current_time_millis
from mlflow.utils.uri import is_local_uri

from rayboot.credentials import explain_url_credentials, find_credentialed_url
from rayboot.errors import RequestError
from rayboot.registry.run_links import describe_run_link

__all__ = [
    "Run",
    "absolute_registry_uri",
    "absolute_tracking_uri",
    "default_tracking_uri",
    "has_store",
    "make_client",
    "open_existing_store",
    "open_run",
    "resume_run",
    "set_default_store",
]

# MLflow prints a run's addresses to stdout, which is for results.
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")

_LOG = logging.getLogger(__name__)

_PARAMS_PER_REQUEST, _METRICS_PER_REQUEST = 100, 1000
_MAX_PARAM_LENGTH = 6000
_REGISTRY_VARIABLE = "MLFLOW_REGISTRY_URI"
_DIGEST_LENGTH = 36
"""Length of a data set's digest in MLflow's tables."""


class Run:
    """An MLflow run, as a thin handle that any process can make from URI and id.

    While its server does not answer, MLflow retries for some minutes. Code that must not
    wait logs its metrics through :class:`rayboot.registry.metric_logger.AsyncMetricLogger`.

    Args:
        tracking_uri: URI of the MLflow store, such as ``sqlite:///mlflow.db``.
        run_id: id of an open run.
    """

    def __init__(self, tracking_uri: str, run_id: str) -> None:
        self.tracking_uri, self.run_id = tracking_uri, run_id
        self._client = make_client(tracking_uri)

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Records parameters, nested ones as ``outer.inner``; existing values are not changed."""
        known = self._client.get_run(self.run_id).data.params
        flat = [
            Param(key, str(value)[:_MAX_PARAM_LENGTH])
            for key, value in _flatten(params).items()
            if key not in known
        ]
        for start in range(0, len(flat), _PARAMS_PER_REQUEST):
            self._client.log_batch(self.run_id, params=flat[start : start + _PARAMS_PER_REQUEST])

    def log_metrics(self, metrics: Mapping[str, float], step: int = 0) -> None:
        """Records metrics at a step."""
        now = get_current_time_millis()
        self.log_points([Metric(key, float(value), now, step) for key, value in metrics.items()])

    def log_points(self, points: list[Metric]) -> None:
        """Records metric values, each with its own time and step."""
        for start in range(0, len(points), _METRICS_PER_REQUEST):
            self._client.log_batch(
                self.run_id, metrics=points[start : start + _METRICS_PER_REQUEST]
            )

    def last_steps(self) -> dict[str, int]:
        """Returns the last step that the run has of each metric."""
        metrics = self._client.get_run(self.run_id).data.to_proto().metrics
        return {metric.key: int(metric.step) for metric in metrics}

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Records tags."""
        self._client.log_batch(self.run_id, tags=[RunTag(k, str(v)) for k, v in tags.items()])

    def log_file(self, path: str | Path, folder: str | None = None) -> None:
        """Stores a file as an artifact."""
        self._client.log_artifact(self.run_id, str(path), folder)

    def log_bytes(self, name: str, payload: bytes) -> None:
        """Stores ``payload`` as the artifact ``name``."""
        folder, _, base = name.rpartition("/")
        with tempfile.TemporaryDirectory() as scratch:
            file = Path(scratch) / base
            file.write_bytes(payload)
            self.log_file(file, folder or None)

    def log_dataset(self, name: str, uri: str, digest: str, profile: Mapping[str, Any]) -> None:
        """Records the data set that the run trains on.

        Args:
            name: name to display.
            uri: URI of the data set.
            digest: digest of its manifest, hex; MLflow stores the first 36 characters.
            profile: statistics of the data set, such as counts.
        """
        dataset = Dataset(
            name=name,
            digest=digest[:_DIGEST_LENGTH],
            source_type="rayboot",
            source=json.dumps({"uri": uri}),
            profile=json.dumps(dict(profile)),
        )
        dataset_input = DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])
        self._client.log_inputs(self.run_id, [dataset_input])

    @contextmanager
    def closing(self) -> Iterator[None]:
        """Ends the run after a ``with`` block: as finished, or as failed if it raises."""
        try:
            yield
        except BaseException:  # an interrupted run counts as failed too
            self._client.set_terminated(self.run_id, "FAILED")
            raise
        self._client.set_terminated(self.run_id, "FINISHED")


def make_client(tracking_uri: str | None) -> MlflowClient:
    """Returns a client of a store and of its registry; None is MLflow's own setting.

    The registry is the one that ``MLFLOW_REGISTRY_URI`` names, else the store itself.

    Raises:
        RequestError: a URI contains a login.
    """
    effective_uri = tracking_uri or os.environ.get("MLFLOW_TRACKING_URI", "")
    registry_uri = os.environ.get(_REGISTRY_VARIABLE) or tracking_uri
    for name, uri in (("tracking", effective_uri), ("registry", registry_uri or "")):
        if (url := find_credentialed_url(uri)) is not None:
            raise RequestError(f"MLflow's {name} URI {explain_url_credentials(url)}")
    return MlflowClient(tracking_uri=tracking_uri, registry_uri=registry_uri)


def absolute_registry_uri(tracking_uri: str | None) -> str:
    """Returns the URI of the registry of a store: ``MLFLOW_REGISTRY_URI``, else the store itself.

    Args:
        tracking_uri: URI of the MLflow store; None is MLflow's own setting.
    """
    return absolute_tracking_uri(
        os.environ.get(_REGISTRY_VARIABLE) or tracking_uri or mlflow.get_tracking_uri()
    )


def has_store(tracking_uri: str | None) -> bool:
    """Whether the registry of a store can have models: only a local one is known not to exist.

    MLflow creates a local store when it is read, so that whoever only reads has to ask before.

    Args:
        tracking_uri: URI of the MLflow store; None is MLflow's own setting.
    """
    uri = absolute_registry_uri(tracking_uri)
    file = _sqlite_file(uri)
    if file is None and not is_local_uri(uri):
        return True
    return (file or Path(uri)).exists()


def open_existing_store(tracking_uri: str | None) -> MlflowClient:
    """Returns a client of a store whose registry must exist, see :func:`make_client`.

    Raises:
        RequestError: the registry does not exist, or a URI contains a login.
    """
    if not has_store(tracking_uri):
        raise RequestError(
            f"there is no MLflow store {absolute_registry_uri(tracking_uri)}; set "
            "MLFLOW_TRACKING_URI, or tracking_uri of the config, to the store in which models were "
            f"registered, or {_REGISTRY_VARIABLE} to a registry apart from it"
        )
    return make_client(tracking_uri)


def default_tracking_uri() -> str:
    """Returns MLflow's own setting: ``MLFLOW_TRACKING_URI``, or a SQLite file in this folder."""
    return os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///mlflow.db"


def absolute_tracking_uri(tracking_uri: str) -> str:
    """Returns the URI for processes in other folders: local stores by their absolute path."""
    path = _sqlite_file(tracking_uri)
    if path is not None:
        return f"sqlite:///{path}"
    if is_local_uri(tracking_uri):
        return str(Path(tracking_uri.removeprefix("file:")).resolve())
    return tracking_uri


def _sqlite_file(tracking_uri: str) -> Path | None:
    """Returns the absolute path of a SQLite store's file; None for every other store."""
    path = tracking_uri.removeprefix("sqlite:///")
    if path == tracking_uri or path.startswith(":"):
        return None
    return Path(path).resolve()


@contextmanager
def set_default_store(tracking_uri: str) -> Iterator[None]:
    """Makes a store and its registry MLflow's default for the duration of a ``with`` block.

    Parts of MLflow use the default tracking store and registry of the process whatever store
    they are given. Afterwards the defaults and the environment are as they were before.
    """
    names = ("MLFLOW_TRACKING_URI", _REGISTRY_VARIABLE)
    before = {name: os.environ.get(name) for name in names}
    registry_uri = absolute_registry_uri(tracking_uri)
    mlflow.set_tracking_uri(tracking_uri)
    mlflow.set_registry_uri(registry_uri)
    try:
        yield
    finally:
        # Setting a store sets the environment too, and resetting the store leaves that.
        mlflow.set_tracking_uri(None)  # type: ignore[arg-type]
        mlflow.set_registry_uri(None)  # type: ignore[arg-type]
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def open_run(tracking_uri: str, experiment: str, name: str, artifacts: str | None = None) -> Run:
    """Starts a run, and creates its experiment if there is none.

    Args:
        tracking_uri: URI of the MLflow store.
        experiment: name of the experiment.
        name: name of the run to display.
        artifacts: URI of the artifacts of a new experiment; by default the store decides.
    """
    if (file := _sqlite_file(tracking_uri or default_tracking_uri())) is not None:
        # Often the output of the run, of which this is the first file.
        file.parent.mkdir(parents=True, exist_ok=True)
    client = make_client(tracking_uri)
    experiment_id = _experiment_id(client, experiment, artifacts)
    run_id = client.create_run(experiment_id, run_name=name).info.run_id
    _log_link(tracking_uri, experiment_id, run_id)
    return Run(tracking_uri, run_id)


def resume_run(tracking_uri: str, run_id: str) -> Run:
    """Resumes an interrupted run: its status becomes running again.

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
            f"run {run_id}: the MLflow store {tracking_uri} does not contain it; give the store in "
            "which it was started, or choose a new name or output"
        ) from error
    _log_link(tracking_uri, client.get_run(run_id).info.experiment_id, run_id)
    return Run(tracking_uri, run_id)


def _log_link(tracking_uri: str, experiment_id: str, run_id: str) -> None:
    uri = absolute_tracking_uri(tracking_uri or default_tracking_uri())
    _LOG.info("MLflow: %s", describe_run_link(uri, experiment_id, run_id))


def _experiment_id(client: MlflowClient, name: str, artifacts: str | None) -> str:
    existing = client.get_experiment_by_name(name)
    if existing is not None:
        return str(existing.experiment_id)
    try:
        return str(client.create_experiment(name, artifact_location=artifacts))
    except MlflowException:
        # Another run may have created it in between.
        existing = client.get_experiment_by_name(name)
        if existing is None:
            raise
        return str(existing.experiment_id)


def _flatten(params: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in params.items():
        if isinstance(value, Mapping):
            flat |= _flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
