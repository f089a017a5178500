import pytest

from rayboot.credentials import (
    find_credentialed_url,
    find_url_credentials,
    is_secret_name,
    redact_url_credentials,
)

WITH_SECRET = [
    ("http://me:hunter2@mlflow:5000/x", "hunter2", "http://***@mlflow:5000/x"),
    ("HTTPS://me:p@ss@host", "p@ss", "HTTPS://***@host"),
    ("postgresql+psycopg2://:hunter2@db/mlflow", "hunter2", "postgresql+psycopg2://***@db/mlflow"),
    ("s3://KEY:hunter2@bucket/key", "hunter2", "s3://***@bucket/key"),
    ("https://h/a?x=1&X-Amz-Signature=abc&y=2", "abc", "https://h/a?x=1&X-Amz-Signature=***&y=2"),
    ("https://h/a?sig=a%2Fb", "a%2Fb", "https://h/a?sig=***"),
    ("https://h/a?access_token=abc", "abc", "https://h/a?access_token=***"),
]


@pytest.mark.parametrize(("url", "secret", "clean"), WITH_SECRET)
def test_secrets_in_urls_are_found_and_redacted(url: str, secret: str, clean: str) -> None:
    assert list(find_url_credentials(url)) == [secret]
    assert redact_url_credentials(f"cannot reach '{url}': no") == f"cannot reach '{clean}': no"
    assert find_credentialed_url({"a": ["text", ("more", {"b": f"see {url}"})]}) == clean


@pytest.mark.parametrize(
    "url",
    ["s3://bucket/a@b", "http://host:5000/a?x=1", "sqlite:///mlflow.db", "a: b@c", "x?y", 3, None],
)
def test_urls_without_secrets_are_not_changed(url: object) -> None:
    assert find_credentialed_url([url]) is None
    assert redact_url_credentials(str(url)) == str(url)


def test_a_user_name_alone_is_redacted_but_is_not_a_secret() -> None:
    assert find_credentialed_url("ssh://git@host/a") is None
    assert redact_url_credentials("ssh://git@host/a") == "ssh://***@host/a"


def test_names_of_secrets() -> None:
    for name in ("AWS_SECRET_ACCESS_KEY", "MLFLOW_TRACKING_PASSWORD", "my_token", "AZURE_API_KEY"):
        assert is_secret_name(name)
    for name in ("PATH", "MLFLOW_TRACKING_URI", "MONKEY", "AWS_REGION"):
        assert not is_secret_name(name)
