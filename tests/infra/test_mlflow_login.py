"""MLflow as the manifests and compose.yaml start it: its logins, and how rayboot uses it.

Real servers on a real PostgreSQL, with addresses and passwords as in a cluster.
"""

import base64
import json
import re
import shlex
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar, NamedTuple

import psycopg2
import pytest
import yaml

from infra.stack.database import Database
from infra.stack.layout import LOOPBACK, StackLayout, create_layout
from infra.stack.service import Service, find_http_problem
from rayboot.diagnostics.service_checks import check_mlflow
from rayboot.models import load_vrn, save_network
from rayboot.registry.promotion import champion_version, promote, roll_back
from rayboot.registry.registration import register_weights
from rayboot.registry.resolve import resolve_model
from rayboot.registry.runs import make_client, open_run
from tests.infra.manifests import ROOT, of_kind
from tests.registry.test_registration import CODE, examples, network

GUIDE = (ROOT / "docs/guides/clusters.md").read_text("utf-8")
MODEL = "faces"
SEARCH = "/api/2.0/mlflow/experiments/search?max_results=5"


class Login(NamedTuple):
    """Login of a user."""

    name: str
    password: str

    def headers(self) -> dict[str, str]:
        """Returns the headers for basic authentication."""
        pair = base64.b64encode(f"{self.name}:{self.password}".encode()).decode()
        return {"Authorization": f"Basic {pair}"}


class Server(Service):
    """MLflow with the command and variables of a deployment."""

    ready_timeout_s: ClassVar[float] = 480.0

    def __init__(
        self, layout: StackLayout, name: str, words: list[str], env: Mapping[str, str]
    ) -> None:
        super().__init__(layout)
        self.name, self._words, self._env = name, words, env
        # A host name that all deployments accept.
        self.url = f"http://localhost:{layout.ports[name]}"

    def command(self) -> list[str]:
        assert self._words[:2] == ["mlflow", "server"]
        return [sys.executable, "-m", *self._words]

    def environment(self) -> Mapping[str, str]:
        return self._env

    def find_problem(self) -> str | None:
        return find_http_problem(f"{self.url}/health")


class Running(NamedTuple):
    """A running server, and the login of the Ray nodes."""

    url: str
    login: Login


def create_database(database: Database, name: str, password: str) -> str:
    """Creates a database and its owner of the same name; returns the address for SQLAlchemy."""
    connection = psycopg2.connect(database.uri.replace("+psycopg2", ""))
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{password}'")
        cursor.execute(f"CREATE DATABASE {name} OWNER {name}")
    connection.close()
    port = database.uri.rsplit(":", 1)[1].split("/")[0]
    return f"{LOOPBACK}:{port}/{name}"


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> StackLayout:
    created = create_layout(tmp_path_factory.mktemp("login") / "p", first_port=23800)
    others = {"kubernetes": created.ports["weed_master"], "compose": created.ports["weed_volume"]}
    return created._replace(ports=created.ports | others)


@pytest.fixture(scope="module")
def database(layout: StackLayout) -> Iterator[Database]:
    service = Database(layout)
    try:
        service.start()
        service.wait()
        yield service
    finally:
        service.stop()


def localize(words: list[str], layout: StackLayout, name: str) -> list[str]:
    """Returns the command with a local address and port, one process, and files in a folder."""
    port = str(layout.ports[name])
    text = shlex.join(words).replace("0.0.0.0", LOOPBACK).replace("5000", port)
    text = text.replace("--workers=2", "--workers=1")
    return shlex.split(text.replace("s3://mlflow", str(layout.data("files"))))


def kubernetes_server(layout: StackLayout, database: Database) -> Server:
    """Server of the manifest, with secrets as docs/guides/clusters.md creates them."""
    (deployment,) = of_kind("small", "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    (scheme,) = re.findall(r"^ *uri=(\S+)://mlflow:", GUIDE, re.MULTILINE)
    uri = f"{scheme}://mlflow:base@{create_database(database, 'mlflow', 'base')}"
    (form,) = re.findall(r"basic_auth\.ini=\"\$\(printf '(.*?)' \"\$uri\"\)\"", GUIDE)
    rules = layout.data("kubernetes") / "basic_auth.ini"
    rules.write_text(form.replace("\\n", "\n") % uri)
    secret = {
        "backend-store-uri": uri,
        "session-key": "0123456789abcdef",
        "admin-username": "admin",
        "admin-password": "password-of-admin",
    }
    environment = {}
    for variable in container["env"]:
        key = variable.get("valueFrom", {}).get("secretKeyRef", {}).get("key")
        environment[variable["name"]] = secret[key] if key else variable["value"]
    environment["MLFLOW_AUTH_CONFIG_PATH"] = str(rules)
    environment["HOME"] = str(layout.folder)
    environment["MLFLOW_ARTIFACTS_DESTINATION"] = str(layout.data("files"))
    words = localize(container["command"], layout, "kubernetes")
    return Server(layout, "kubernetes", words, environment)


def compose_server(layout: StackLayout, database: Database) -> Server:
    """Server of compose.yaml, with its variables and mounted file."""
    service = yaml.safe_load((ROOT / "infra/compose.yaml").read_text("utf-8"))["services"]["mlflow"]
    where = f"compose@{create_database(database, 'compose', 'base')}"
    environment = {
        name: value for name, value in service["environment"].items() if name[:3] != "AWS"
    }
    secret = {
        "POSTGRES_PASSWORD": "base",
        "MLFLOW_PASSWORD": "password-of-nodes",
        "MLFLOW_SESSION_KEY": "0123456789abcdef",
    }
    for name, value in environment.items():
        value = re.sub(r"\$\{(\w+):\?[^}]*\}", lambda match: secret[match[1]], value)
        environment[name] = value.replace("postgres@postgres/postgres", where)
    (mount,) = service["volumes"]
    source, target, _ = mount.split(":")
    assert target == environment["MLFLOW_AUTH_CONFIG_PATH"]
    rules = layout.data("compose") / "basic_auth.ini"
    text = (ROOT / "infra" / source).read_text("utf-8")
    rules.write_text(text.replace("postgres@postgres/postgres", where))
    environment["MLFLOW_AUTH_CONFIG_PATH"] = str(rules)
    words = localize(shlex.split(service["command"]), layout, "compose")
    return Server(layout, "compose", words, environment)


def make_user(url: str, admin: Login, login: Login) -> None:
    """Creates a user as docs/guides/clusters.md does."""
    request = urllib.request.Request(
        f"{url}/api/2.0/mlflow/users/create",
        headers={**admin.headers(), "Content-Type": "application/json"},
        data=json.dumps({"username": login.name, "password": login.password}).encode(),
    )
    with urllib.request.urlopen(request, timeout=30) as response:
        assert response.status == 200


@pytest.fixture(
    scope="module",
    params=[pytest.param("kubernetes", marks=pytest.mark.slow), "compose"],
)
def server(
    request: pytest.FixtureRequest, layout: StackLayout, database: Database
) -> Iterator[Running]:
    make = {"kubernetes": kubernetes_server, "compose": compose_server}[request.param]
    service = make(layout, database)
    login = Login("rayboot", "password-of-nodes")
    try:
        service.start()
        service.wait()
        if request.param == "kubernetes":
            make_user(service.url, Login("admin", "password-of-admin"), login)
        yield Running(service.url, login)
    finally:
        service.stop()


def status(url: str, headers: Mapping[str, str]) -> int:
    try:
        with urllib.request.urlopen(
            urllib.request.Request(url, headers=dict(headers)), timeout=30
        ) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_a_login_is_required(server: Running) -> None:
    url = f"{server.url}{SEARCH}"
    assert status(url, {}) == 401
    assert status(url, Login(server.login.name, "guessed").headers()) == 401
    assert status(url, Login("admin", "password1234").headers()) == 401
    assert status(url, server.login.headers()) == 200
    # The health page needs no login.
    assert status(f"{server.url}/health", {}) == 200


def test_another_host_name_is_refused_even_with_the_login(server: Running) -> None:
    headers = {**server.login.headers(), "Host": "mlflow.example"}
    assert status(f"{server.url}{SEARCH}", headers) == 403
    inside = {**server.login.headers(), "Host": f"mlflow:{server.url.rsplit(':', 1)[1]}"}
    assert status(f"{server.url}{SEARCH}", inside) == 200


def test_rayboot_stores_runs_and_versions(
    server: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", server.login.name)
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", server.login.password)
    run = open_run(server.url, "tests", "first")
    run.log_params({"rate": 0.1})
    run.log_metrics({"loss": 0.5}, step=1)
    run.log_bytes("note.txt", b"kept")
    weights = tmp_path / "weights.safetensors"
    save_network(network(0), weights)
    versions = [
        register_weights(run, MODEL, weights, CODE, examples(network(0)), {}) for _ in range(2)
    ]
    promote(server.url, MODEL, versions[0], None)
    promote(server.url, MODEL, versions[1], versions[0])
    assert champion_version(server.url, MODEL) == versions[1]
    assert roll_back(server.url, MODEL) == (versions[1], versions[0])
    load_vrn(resolve_model(f"models:/{MODEL}@champion", server.url).path)
    with run.closing():
        pass
    stored = make_client(server.url).get_run(run.run_id)
    assert (stored.data.metrics, stored.info.status) == ({"loss": 0.5}, "FINISHED")


def test_rayboot_without_the_login_is_refused_and_doctor_reports_it(
    server: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # No file of the user contains a login.
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("USERNAME", "PASSWORD", "TOKEN"):
        monkeypatch.delenv(f"MLFLOW_TRACKING_{name}", raising=False)
    # A class of MLflow, which only the registry imports.
    with pytest.raises(Exception, match="not authenticated"):
        open_run(server.url, "tests", "anonymous")
    assert "requires a login" in check_mlflow(server.url).detail
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", server.login.name)
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "guessed")
    wrong = check_mlflow(server.url)
    assert (wrong.status, "MLFLOW_TRACKING_PASSWORD" in wrong.remedy) == ("FAIL", True)
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", server.login.password)
    assert check_mlflow(server.url).status == "ok"
