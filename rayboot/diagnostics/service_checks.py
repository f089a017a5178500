"""Checks of what a run talks to: Ray, object storage, MLflow."""

import base64
import logging
import os
import sqlite3
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from rayboot.cluster.dashboard import AUTH_REMEDY, find_cluster_token, query_dashboard
from rayboot.diagnostics.check import Check, last_line, run_in_subprocess

__all__ = ["check_mlflow", "check_ray", "check_storage"]


def check_ray(address: str | None) -> Check:
    """Starts a local Ray, or reaches the cluster at ``address``; tells about tokens."""
    if address is not None and urlsplit(address).scheme in ("http", "https"):
        return _check_dashboard(address.rstrip("/"))
    started = time.monotonic()
    where = address or "local"
    done = run_in_subprocess(
        f"from rayboot.diagnostics.service_checks import _join_ray; _join_ray({where!r})",
        timeout_s=120,
    )
    if done.returncode == 0:
        took = f"{time.monotonic() - started:.0f} s"
        outcome = f"starts here in {took}" if address is None else f"joined {address} in {took}"
        return Check("Ray", "ok", f"{outcome}, {done.stdout.strip().splitlines()[-1]}")
    reason = last_line(done)
    if "uthentication" in done.stderr or "UNAUTHENTICATED" in done.stderr:
        return Check("Ray", "FAIL", f"{where} asks for a token: {reason}", AUTH_REMEDY)
    remedy = (
        "see the log under /tmp/ray/session_latest/logs"
        if address is None
        else "check RAY_ADDRESS or ray_address, and that its port can be reached from here"
    )
    return Check("Ray", "FAIL", f"{where}: {reason}", remedy)


def _join_ray(address: str) -> None:
    import ray

    options: dict[str, Any] = {}
    if address == "local":
        options = {"num_cpus": 1, "object_store_memory": 100 * 2**20, "include_dashboard": False}
    ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **options)
    ray.get(ray.remote(num_cpus=0.1)(lambda: 1).remote())
    cpus = ray.cluster_resources().get("CPU", 0)
    # A local start sets the variable to what it chose.
    mode = os.environ.get("RAY_AUTH_MODE") or "token if one is there"
    ray.shutdown()
    scope = "" if address == "local" else f", {cpus:.0f} CPUs"
    print(f"Ray {ray.__version__}{scope}, authentication: {mode}")


def _check_dashboard(address: str) -> Check:
    try:
        found = query_dashboard(address)
    except OSError as error:
        return Check(
            "Ray",
            "FAIL",
            f"{address} does not answer: {error}",
            "check the address (port 8265 by default), and that it can be reached from here",
        )
    if found.status in (401, 403):
        does = "asks for a token" if find_cluster_token() is None else "refuses this token"
        return Check("Ray", "FAIL", f"{address} {does}", AUTH_REMEDY)
    if found.status != 200:
        return Check("Ray", "FAIL", f"{address} answers {found.status}", "is this Ray's dashboard?")
    if not found.is_open:
        return Check("Ray", "ok", f"{address} answers and takes the token")
    return Check(
        "Ray",
        "note",
        f"{address} answers and asks for no token",
        "whoever reaches it can run code there; start the cluster with RAY_AUTH_MODE=token",
    )


def _http_status(url: str, headers: Mapping[str, str] | None = None) -> int:
    request = urllib.request.Request(url, headers=dict(headers or {}))
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def check_storage(uri: str, written: bool = False) -> Check:
    """Lists what is under a URI with the credentials of the environment.

    Args:
        uri: of a bucket, or below one; rights often end there.
        written: the run writes there: so does the check, and removes it again.
    """
    name = f"storage {uri}"
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    where = endpoint or "AWS (AWS_ENDPOINT_URL is not set)"
    # A child, because an unreachable endpoint is retried for minutes.
    code = (
        f"from rayboot.diagnostics.service_checks import _try_store; _try_store({uri!r}, {written})"
    )
    done = run_in_subprocess(code, timeout_s=40)
    if done.returncode == 0:
        return Check(name, "ok", f"{where} answers, {done.stdout.strip()}")
    return Check(
        name,
        "FAIL",
        f"{where}: {last_line(done)}",
        "check the bucket's name, what the credentials may do below this URI, AWS_ENDPOINT_URL, "
        "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    )


def _try_store(uri: str, written: bool) -> None:
    import s3fs

    from rayboot.io.storage import require_writable

    options = {"connect_timeout": 5, "read_timeout": 10, "retries": {"max_attempts": 1}}
    parts = urlsplit(uri)
    store = s3fs.S3FileSystem(config_kwargs=options)
    # One name is enough to see that it may be listed: there may be millions.
    answer = store.call_s3(
        "list_objects_v2", Bucket=parts.netloc, Prefix=parts.path.lstrip("/"), MaxKeys=1
    )
    holds = "something is there" if answer["KeyCount"] else "nothing is there yet"
    if written:
        require_writable(uri)
    print(f"can be listed{' and written' * written}, {holds}")


def check_mlflow(tracking_uri: str) -> Check:
    """Opens the tracking store, without importing MLflow."""
    parts = urlsplit(tracking_uri)
    if parts.scheme == "sqlite":
        return _check_sqlite(tracking_uri, Path(tracking_uri.removeprefix("sqlite:///")))
    if parts.scheme in ("http", "https"):
        address = tracking_uri.rstrip("/")
        try:
            status = _http_status(f"{address}/health")
            # Its health is told to everybody.
            search = f"{address}/api/2.0/mlflow/experiments/search?max_results=1"
            login = _mlflow_login()
            refused = login is not None and _http_status(search, login) in (401, 403)
        except OSError as error:
            return Check(
                "MLflow",
                "FAIL",
                f"{tracking_uri} does not answer: {error}",
                "start it (mlflow server), or set tracking_uri to sqlite:///mlflow.db",
            )
        if status == 200 and refused:
            does = "refuses this login" if login else "asks for a login"
            remedy = "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
            return Check("MLflow", "FAIL", f"{tracking_uri} {does}", remedy)
        if status == 200:
            return Check("MLflow", "ok", f"{tracking_uri} answers")
        return Check(
            "MLflow",
            "FAIL",
            f"{tracking_uri} answers {status}",
            "401 or 403: set MLFLOW_TRACKING_TOKEN, or the server's --allowed-hosts",
        )
    if parts.scheme in ("", "file"):
        return Check(
            "MLflow", "FAIL", f"{tracking_uri} is a folder, which MLflow gave up", "use sqlite:///"
        )
    return Check("MLflow", "note", f"{tracking_uri} is not checked")


def _mlflow_login() -> dict[str, str] | None:
    """What shows the environment's login; None where MLflow's own file has one."""
    user, password, token = (
        os.environ.get(f"MLFLOW_TRACKING_{name}", "") for name in ("USERNAME", "PASSWORD", "TOKEN")
    )
    if user and password:
        pair = base64.b64encode(f"{user}:{password}".encode()).decode()
        return {"Authorization": f"Basic {pair}"}
    if token:
        return {"Authorization": f"Bearer {token}"}
    return None if Path("~/.mlflow/credentials").expanduser().exists() else {}


def _check_sqlite(uri: str, path: Path) -> Check:
    folder = path.resolve().parent
    if not path.exists():
        if folder.is_dir() and os.access(folder, os.W_OK):
            return Check("MLflow", "ok", f"{uri} will be made")
        return Check("MLflow", "FAIL", f"{uri}: no writable folder {folder}", f"mkdir -p {folder}")
    try:
        with sqlite3.connect(path, timeout=2) as store:
            store.execute("BEGIN IMMEDIATE")
            rows = store.execute("SELECT count(*) FROM sqlite_master WHERE name = 'experiments'")
            (known,) = rows.fetchone()
            store.rollback()
    except sqlite3.Error as error:
        remedy = f"end what holds it, or move {path} away: a new one is made"
        return Check("MLflow", "FAIL", f"{uri}: {error}", remedy)
    return Check("MLflow", "ok", f"{uri} opens" if known else f"{uri} is empty, will be filled")
