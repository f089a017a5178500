"""Checks of the services that a run uses: object storage, MLflow."""

import base64
import os
import sqlite3
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from rayboot.diagnostics.check import Check, last_line, run_in_subprocess
from rayboot.errors import RequestError
from rayboot.io.s3_access import CHECKSUM_VARIABLE
from rayboot.io.storage import join_uri, require_writable

__all__ = ["check_mlflow", "check_storage"]

_S3_SCHEMES = ("s3", "s3a")

_NO_CONDITIONS = (
    "ignores conditional writes: two runs that start at the same moment may write to one output"
)
_NO_CHECKSUMS = "refuses checksum headers, and so every file that a run writes"
_STORE_REMEDIES = {
    _NO_CONDITIONS: "start one run at a time on an output, or use a store that honours them",
    _NO_CHECKSUMS: f"set {CHECKSUM_VARIABLE}=when_required",
}
"""What a store may lack, with what to do."""


def _http_status(url: str, headers: Mapping[str, str] | None = None) -> int:
    """Returns the HTTP status of a GET request; callers pass http and https URLs only."""
    request = urllib.request.Request(url, headers=dict(headers or {}))  # noqa: S310 - see docstring
    try:
        with urllib.request.urlopen(request, timeout=5) as response:  # noqa: S310 - see docstring
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code


def check_storage(uri: str, written: bool = False) -> Check:
    """Lists the objects below a URI with the credentials of the environment.

    Args:
        uri: URI of a bucket, or below one; permissions often apply to a prefix only.
        written: whether the run writes there: the check then writes and removes an object.
    """
    name = f"storage {uri}"
    where, remedy = _store_of(uri)
    # In a child process, because an unreachable endpoint is retried for minutes.
    code = (
        "from rayboot.diagnostics.service_checks import _access_storage; "
        f"_access_storage({uri!r}, {written})"
    )
    done = run_in_subprocess(code, timeout_s=40)
    if done.returncode == 0:
        found, *notes = done.stdout.strip().splitlines()
        if notes:
            remedy = "; ".join(_STORE_REMEDIES[note] for note in notes)
            status: Literal["note", "FAIL"] = "FAIL" if _NO_CHECKSUMS in notes else "note"
            return Check(name, status, f"{where} answers, {found}, but {'; '.join(notes)}", remedy)
        return Check(name, "ok", f"{where} answers, {found}")
    return Check(name, "FAIL", f"{where}: {last_line(done)}", remedy)


def _store_of(uri: str) -> tuple[str, str]:
    """Returns what a store is called, and what to check where it does not answer."""
    permissions = "check the bucket's name, the permissions of the credentials below this URI, "
    scheme = urlsplit(uri).scheme
    if scheme in _S3_SCHEMES:
        endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
        variables = "AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        return endpoint or "AWS (AWS_ENDPOINT_URL is not set)", permissions + variables
    if scheme in ("gs", "gcs"):
        endpoint = os.environ.get("STORAGE_EMULATOR_HOST")
        variables = "and GOOGLE_APPLICATION_CREDENTIALS"
        return endpoint or "Google Cloud Storage", permissions + variables
    account = os.environ.get("AZURE_STORAGE_ACCOUNT_NAME")
    variables = "and AZURE_STORAGE_CONNECTION_STRING, or AZURE_STORAGE_ACCOUNT_NAME with a key"
    return f"Azure account {account}" if account else "Azure", permissions + variables


def _access_storage(uri: str, written: bool) -> None:
    """Lists and, if ``written``, writes below ``uri``; meant for a child process."""
    from rayboot.io.lease import honours_conditions

    is_s3 = urlsplit(uri).scheme in _S3_SCHEMES
    content, access = _look_into_s3(uri) if is_s3 else _look_into_store(uri, written)
    notes = []
    if written:
        try:
            require_writable(uri)
        except RequestError:
            if not is_s3 or not _is_writable_without_checksums(uri):
                raise
            notes.append(_NO_CHECKSUMS)
        if not honours_conditions(join_uri(uri, ".rayboot-condition-test")):
            notes.append(_NO_CONDITIONS)
    is_written = written and _NO_CHECKSUMS not in notes
    print(f"can be listed{' and written' * is_written}{access}, {content}", *notes, sep="\n")


def _is_writable_without_checksums(uri: str) -> bool:
    """Tries it, and leaves checksums switched off in this process."""
    import s3fs

    os.environ[CHECKSUM_VARIABLE] = "when_required"
    s3fs.S3FileSystem.clear_instance_cache()  # a client keeps the setting that it began with
    try:
        require_writable(uri)
    except RequestError:
        return False
    return True


def _look_into_s3(uri: str) -> tuple[str, str]:
    """Returns what is below a URI, and how it is accessed."""
    import s3fs

    from rayboot.io.s3_access import s3_options

    options = {"connect_timeout": 5, "read_timeout": 10, "retries": {"max_attempts": 1}}
    parts = urlsplit(uri)
    store = s3fs.S3FileSystem(config_kwargs=options, **s3_options())
    # One key is enough to show that listing is permitted; a bucket may have millions.
    response = store.call_s3(
        "list_objects_v2", Bucket=parts.netloc, Prefix=parts.path.lstrip("/"), MaxKeys=1
    )
    content = "contains objects" if response["KeyCount"] else "is empty"
    return content, ", without keys" if store.anon else ""


def _look_into_store(uri: str, written: bool) -> tuple[str, str]:
    """Returns the same of stores that do not tell an empty folder from a missing bucket."""
    from rayboot.io.storage import has_entries

    if has_entries(uri):
        return "contains objects", ""
    if not written:
        raise FileNotFoundError(f"{uri}: no such bucket, or nothing is below this URI")
    return "is empty", ""


def check_mlflow(tracking_uri: str) -> Check:
    """Opens the tracking store, without importing MLflow."""
    parts = urlsplit(tracking_uri)
    if parts.scheme == "sqlite":
        return _check_sqlite(tracking_uri, Path(tracking_uri.removeprefix("sqlite:///")))
    if parts.scheme in ("http", "https"):
        address = tracking_uri.rstrip("/")
        try:
            status = _http_status(f"{address}/health")
            # The health endpoint needs no login, so a request that needs one is made as well.
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
            refusal = "refuses this login" if login else "requires a login"
            remedy = "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
            return Check("MLflow", "FAIL", f"{tracking_uri} {refusal}", remedy)
        if status == 200:
            return Check("MLflow", "ok", f"{tracking_uri} answers")
        return Check(
            "MLflow",
            "FAIL",
            f"{tracking_uri} answers with HTTP status {status}",
            "401 or 403: set MLFLOW_TRACKING_TOKEN, or the server's --allowed-hosts",
        )
    if parts.scheme in ("", "file"):
        return Check(
            "MLflow",
            "FAIL",
            f"{tracking_uri} is a folder; MLflow no longer supports folders as tracking stores",
            "set tracking_uri to sqlite:///mlflow.db",
        )
    return Check("MLflow", "note", f"{tracking_uri}: stores of this kind are not checked")


def _mlflow_login() -> dict[str, str] | None:
    """Returns the environment's login as a header; None where MLflow's own file has one."""
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
        # A run creates the folder as well.
        existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
        if existing.is_dir() and os.access(existing, os.W_OK):
            return Check("MLflow", "ok", f"{uri} will be created")
        remedy = "name another tracking_uri or output, or make the folder writable"
        return Check("MLflow", "FAIL", f"{uri}: {existing} is not a writable folder", remedy)
    try:
        with sqlite3.connect(path, timeout=2) as store:
            store.execute("BEGIN IMMEDIATE")
            rows = store.execute("SELECT count(*) FROM sqlite_master WHERE name = 'experiments'")
            (has_tables,) = rows.fetchone()
            store.rollback()
    except sqlite3.Error as error:
        remedy = f"end the process that uses it, or move {path} away: a new one is created"
        return Check("MLflow", "FAIL", f"{uri}: {error}", remedy)
    return Check(
        "MLflow", "ok", f"{uri} opens" if has_tables else f"{uri} is empty and will be initialised"
    )
