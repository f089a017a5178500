import pytest

from rayboot.credentials import find_login, logins_in, names_a_secret, without_logins

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
def test_urls_lose_their_secrets(url: str, secret: str, clean: str) -> None:
    assert list(logins_in(url)) == [secret]
    assert without_logins(f"cannot reach '{url}': no") == f"cannot reach '{clean}': no"
    assert find_login({"a": ["text", ("more", {"b": f"see {url}"})]}) == clean


@pytest.mark.parametrize(
    "url",
    ["s3://bucket/a@b", "http://host:5000/a?x=1", "sqlite:///mlflow.db", "a: b@c", "x?y", 3, None],
)
def test_others_stay(url: object) -> None:
    assert find_login([url]) is None
    assert without_logins(str(url)) == str(url)


def test_a_user_alone_is_no_secret_but_is_not_shown() -> None:
    assert find_login("ssh://git@host/a") is None
    assert without_logins("ssh://git@host/a") == "ssh://***@host/a"


def test_names() -> None:
    for name in ("AWS_SECRET_ACCESS_KEY", "MLFLOW_TRACKING_PASSWORD", "my_token", "AZURE_API_KEY"):
        assert names_a_secret(name)
    for name in ("PATH", "MLFLOW_TRACKING_URI", "MONKEY", "AWS_REGION"):
        assert not names_a_secret(name)
