import json
from pathlib import Path

import pytest

from rayboot.diagnostics.redaction import REDACTED, Redactor, find_secrets


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_secrets_in_variables_are_found() -> None:
    environment = {
        "AWS_SECRET_ACCESS_KEY": "secret-key",
        "AWS_ACCESS_KEY_ID": "account",
        "MLFLOW_TRACKING_PASSWORD": "pass word",
        "RAY_AUTH_TOKEN": "ray-token\n",
        "HTTPS_PROXY": "http://me:proxy-pass@proxy:3128",
        "MAX_TOKENS": "4096",
        "TOKEN_KIND": "true",
        "HOME_TOWN": "Rome",
    }
    secrets = {"secret-key", "pass word", "ray-token", "proxy-pass"}
    assert find_secrets(environment) == secrets
    assert find_secrets({}, ["uri: http://me:in-config@host"]) == {"in-config"}


def test_secrets_in_the_standard_files_are_found(home: Path) -> None:
    write(
        home / ".aws/credentials",
        "[default]\naws_access_key_id = account\naws_secret_access_key = from-file\n"
        "[other]\naws_session_token = other-token\n",
    )
    write(home / ".ray/auth_token", "token-of-ray\n")
    write(home / ".mlflow/credentials", "[mlflow]\nmlflow_tracking_password = of-mlflow\n")
    write(home / ".netrc", "machine host login me password of-netrc\n")
    secrets = {"from-file", "other-token", "token-of-ray", "of-mlflow", "of-netrc"}
    assert find_secrets({}) == secrets


def test_secrets_in_files_named_by_variables_are_found(home: Path) -> None:
    key = "-----BEGIN KEY-----\nMIIEvgIBADANBgkqhkiG\n-----END KEY-----"
    environment = {
        "RAY_AUTH_TOKEN_PATH": str(write(home / "a/token", "elsewhere")),
        "POSTGRES_PASSWORD_FILE": str(write(home / "pg", "pg-pass\n")),
        "GOOGLE_APPLICATION_CREDENTIALS": str(
            write(home / "g.json", json.dumps({"type": "account", "private_key": key}))
        ),
        "AWS_WEB_IDENTITY_TOKEN_FILE": "/nowhere/token",
    }
    secrets = find_secrets(environment)
    assert {"elsewhere", "pg-pass", key, "MIIEvgIBADANBgkqhkiG"} <= secrets
    assert str(home / "pg") not in secrets and "account" not in secrets


SECRET = 'a b/c+"d"'


@pytest.mark.parametrize(
    "text",
    [
        f"the key is {SECRET}.",
        f"{json.dumps({'x': SECRET})}",
        "http://host/?q=a%20b%2Fc%2B%22d%22",
        f"AWS_SECRET_ACCESS_KEY={SECRET}",
    ],
)
def test_known_secrets_are_removed_in_every_encoding(text: str) -> None:
    redactor = Redactor(frozenset({SECRET}))
    assert redactor.leaks(text.encode())
    clean = redactor.redact(text)
    assert REDACTED in clean and not redactor.leaks(clean.encode())


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("password: hunter2  # old", f"password: {REDACTED}  # old"),
        ("MY_TOKEN=hunter2 next", f"MY_TOKEN={REDACTED} next"),
        ('{"db-password": "hunter 2", "a": 1}', f'{{"db-password": {REDACTED}, "a": 1}}'),
        ("Authorization: Bearer hunter2hunter2", f"Authorization: Bearer {REDACTED}"),
        ("at http://me:hunter2@host/x", "at http://***@host/x"),
    ],
)
def test_unknown_secrets_are_recognised_by_their_place(text: str, clean: str) -> None:
    assert Redactor(frozenset()).redact(text) == clean


def test_a_secret_that_is_a_prefix_of_another_is_removed_completely() -> None:
    redactor = Redactor(frozenset({"long-secret", "long-secret-and-more"}))
    assert redactor.redact("long-secret-and-more") == REDACTED


def test_texts_without_secrets_are_unchanged() -> None:
    text = "faces/a.jpg: read, undecodable; tokens are asked for (RAY_AUTH_MODE=token)"
    assert Redactor(frozenset({"secret"})).redact(text) == text
