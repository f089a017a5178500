import pytest

from rayboot.serving.access import AccessRules, digest_token
from rayboot.serving.problems import Problem
from rayboot.serving.serve_config import ServeConfig


def refusal(rules: AccessRules, path: str = "/v1/reconstruct", **headers: str) -> str | None:
    try:
        rules.require(path, {"host": "127.0.0.1:8000"} | headers)
    except Problem as problem:
        return problem.reason
    return None


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:8000", "localhost:1", "[::1]:8000"])
def test_names_of_this_machine_are_known(host: str) -> None:
    assert refusal(AccessRules(ServeConfig(), None), host=host) is None


@pytest.mark.parametrize(
    "host", ["", "evil.example", "evil.example:8000", "127.evil.example", "localhost.evil", "[::1"]
)
def test_other_names_are_refused_on_loopback(host: str) -> None:
    assert refusal(AccessRules(ServeConfig(), None), host=host) == "unknown-host"


@pytest.mark.parametrize(
    "origin", ["null", "https://evil.example", "http://127.0.0.1:8001", "http://localhost:8000"]
)
def test_pages_of_other_origins_are_refused(origin: str) -> None:
    rules = AccessRules(ServeConfig(), None)
    assert refusal(rules, origin=origin) == "foreign-origin"
    assert refusal(rules, origin="http://127.0.0.1:8000") is None


def test_a_token_has_to_be_the_whole_token() -> None:
    rules = AccessRules(ServeConfig(host="0.0.0.0"), digest_token("secret-secret-secret"))
    assert refusal(rules, authorization="Bearer secret-secret-secret") is None
    assert refusal(rules, authorization="bearer  secret-secret-secret") is None
    for wrong in ("Bearer ", "Bearer secret-secret-secre", "secret-secret-secret", "Bearer \xe9"):
        assert refusal(rules, authorization=wrong) == "no-token"
    assert refusal(rules, path="/healthz") is None
    assert refusal(rules, path="/healthz/") == "no-token"
