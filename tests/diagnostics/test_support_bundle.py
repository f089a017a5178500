"""Support bundles of complete, damaged and missing runs, on a machine with many secrets."""

import json
import socket
import stat
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rayboot.diagnostics import support_bundle
from rayboot.diagnostics.doctor import Check
from rayboot.diagnostics.redaction import REDACTED, Redactor
from rayboot.diagnostics.support_bundle import write_support_bundle
from rayboot.errors import RaybootError, RequestError
from rayboot.registry.runs import open_run

ENVIRONMENT = {
    "AWS_SECRET_ACCESS_KEY": "key-of-storage",
    "MLFLOW_TRACKING_PASSWORD": "pass-of-mlflow",
    "RAY_AUTH_TOKEN": "token-of-ray",
    "DATABASE": "postgresql://me:pass-of-database@db/x",
    "UNKNOWN_TO_US": "value-of-unknown",
    "AWS_REGION": "eu-central-1",
}
SECRETS = (*list(ENVIRONMENT.values())[:3], "pass-of-database")
RUN_ID = "0123456789abcdef0123456789abcdef"


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another home, an own folder for Ray, and a doctor that answers at once."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path / "tmp"))
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    checks = [Check("Ray", "FAIL", "refuses token-of-ray", "see http://a:b@host")]
    monkeypatch.setattr(support_bundle, "diagnose", lambda requirements: iter(checks))


@pytest.fixture
def run(tmp_path: Path, create_mlflow_store: Callable[[Path], str]) -> Path:
    """The output of a round, with secrets where none should be."""
    folder = tmp_path / "run"
    rejects = folder / "pairs/outcome=reject"
    rejects.mkdir(parents=True)
    rows = {
        "face_id": [f"{number}.jpg" for number in range(9)],
        "stage": ["read"] * 8 + ["pose"],
        "reason": ["undecodable"] * 8 + ["degenerate"],
        "thumbnail": [b"\xff\xd8 a person"] * 9,
    }
    pq.write_table(pa.table(rows), rejects / "a.parquet")
    (folder / "photo.jpg").write_bytes(b"\xff\xd8 a person")
    (folder / "model.safetensors").write_bytes(b"weights")
    store = open_run(create_mlflow_store(folder), "tests", "first")
    store.log_params({"uri": "s3://k:pass-of-database@b", "rate": 0.1})
    store.log_metrics({"loss": 0.5})
    state = {"run_id": store.run_id, "reason": "http://me:hunter2@host is unavailable"}
    (folder / "round.json").write_text(json.dumps(state))
    (folder / "pairs/manifest.json").write_text(json.dumps({"run_id": RUN_ID, "counts": {}}))
    return folder


def write_session(folder: Path, name: str, text: str) -> None:
    logs = folder / f"ray/session_{name}/logs"
    logs.mkdir(parents=True)
    (logs / "worker-1.err").write_text(text)
    (logs / "raylet.out").write_text("")


def read(archive: Path) -> dict[str, str]:
    with tarfile.open(archive) as tar:
        return {
            member.name.removeprefix("support/"): tar.extractfile(member).read().decode()  # type: ignore[union-attr]
            for member in tar
        }


def require_no_secret(files: dict[str, str]) -> None:
    for name, text in files.items():
        for secret in (*SECRETS, "value-of-unknown", "hunter2", "a person"):
            assert secret not in name + text, (secret, name)


def test_a_bundle_contains_what_explains_a_failure(tmp_path: Path, run: Path) -> None:
    config = tmp_path / "run.yaml"
    config.write_text("data: runs/pairs\npassword: hunter2\nuri: http://me:hunter2@host\n")
    text = f'{{"run": "{RUN_ID}", "face_id": "3.jpg"}} key-of-storage Bearer hunter2hunter2\n'
    write_session(tmp_path / "tmp", "2026_old", text)
    time.sleep(0.05)
    write_session(tmp_path / "tmp", "2027_other", "of another run\n")
    bundle = write_support_bundle(tmp_path / "b.tar.gz", config, [str(run), str(run / "pairs")])
    files = read(bundle.path)
    require_no_secret(files)
    # A config that is refused affects the doctor only.
    assert set(bundle.missing) == {"doctor"} and "run.yaml" not in files
    assert json.loads(files["machine.json"])["versions"]["rayboot"]
    assert "pyarrow==" in files["packages.txt"]
    assert "AWS_REGION=eu-central-1" in files["environment.txt"]
    assert "UNKNOWN_TO_US is set, its value is not shown" in files["environment.txt"]
    assert "data: runs/pairs" in files["config.yaml"] and REDACTED in files["config.yaml"]
    assert "photo.jpg" in files["run/files.txt"]
    assert json.loads(files["run/round.json"])["reason"] == "http://***@host is unavailable"
    counts = json.loads(files["run/pairs/rejects.json"])
    assert counts["counts"] == {"read, undecodable": 8, "pose, degenerate": 1}
    assert counts["examples"]["read, undecodable"] == [f"{n}.jpg" for n in range(5)]
    assert f'"run_id": "{RUN_ID}"' in files["run-2/manifest.json"]
    ids = [name for name in files if name.startswith("mlflow/")]
    described = json.loads(files[next(name for name in ids if RUN_ID not in name)])
    assert described["metrics"] == {"loss": 0.5} and described["params"]["rate"] == "0.1"
    assert "session_2026_old, of the run" in files["ray/session.txt"]
    assert '"face_id": "3.jpg"' in files["ray/worker-1.err"]
    assert "ray/raylet.out" not in files
    assert stat.S_IMODE(bundle.path.stat().st_mode) == 0o600
    assert not list(tmp_path.glob(".*.part"))


def test_a_bundle_contains_the_doctors_checks(tmp_path: Path) -> None:
    files = read(write_support_bundle(tmp_path / "b.tar.gz").path)
    require_no_secret(files)
    assert "FAIL  Ray" in files["doctor.txt"] and "http://***@host" in files["doctor.txt"]


@pytest.mark.parametrize("run", ["nowhere", "s3x://bucket/run"])
def test_missing_parts_are_listed_with_their_reason(tmp_path: Path, run: str) -> None:
    bundle = write_support_bundle(tmp_path / "b.tar.gz", tmp_path / "none.yaml", [run])
    assert set(bundle.missing) >= {"config", "run", "ray", "doctor"}
    contents = read(bundle.path)["contents.txt"]
    assert "missing: run: RequestError" in contents and "missing: ray" in contents


def test_damaged_files_do_not_stop_the_bundle(tmp_path: Path, run: Path) -> None:
    (run / "pairs/outcome=reject/a.parquet").write_bytes(b"no Parquet")
    (run / "round.json").write_text("no JSON")
    (run / "mlflow.db").write_bytes(b"no database" * 100)
    files = read(write_support_bundle(tmp_path / "b.tar.gz", runs=[str(run)]).path)
    assert files["run/round.json"] == "no JSON"
    assert "missing: run: " in files["contents.txt"]
    assert "DatabaseError" in files[f"mlflow/{RUN_ID}.json"]


@pytest.fixture
def silent_server() -> Iterator[str]:
    """Accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def test_a_silent_server_does_not_block_the_bundle(
    tmp_path: Path, run: Path, silent_server: str
) -> None:
    (run / "mlflow.db").unlink()
    config = tmp_path / "run.yaml"
    config.write_text(f"tracking_uri: {silent_server}\n")
    started = time.monotonic()
    bundle = write_support_bundle(tmp_path / "b.tar.gz", config, [str(run)], timeout_s=3.0)
    assert time.monotonic() - started < 20
    assert bundle.missing["mlflow"] == "not finished after 3 s"
    assert "run/round.json" in bundle.files


def test_a_bundle_with_a_secret_is_removed(
    tmp_path: Path, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Redactor, "redact", lambda self, text: text)
    with pytest.raises(RaybootError, match="was removed"):
        write_support_bundle(tmp_path / "b.tar.gz", runs=[str(run)])
    assert not list(tmp_path.glob("*b.tar.gz*"))


def test_a_path_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"ends in \.tar\.gz"):
        write_support_bundle(tmp_path / "bundle.zip")
    with pytest.raises(RequestError, match="cannot be written"):
        write_support_bundle(tmp_path / "none/b.tar.gz")
