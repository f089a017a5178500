import math

from rayboot.registry.thresholds import find_exceeded


def test_metrics_above_their_limits_are_named() -> None:
    metrics = {"front": 0.08, "profile": -0.2, "other": 9.0}
    assert find_exceeded(metrics, {"front": 0.07, "profile": -0.1}) == ["front"]
    assert find_exceeded(metrics, {"front": 0.08, "profile": -0.3}) == ["profile"]
    assert find_exceeded(metrics, {"front": 0.0801, "profile": 0.0}) == []


def test_values_that_are_not_finite_exceed_any_limit() -> None:
    assert find_exceeded(
        {"a": math.nan, "b": math.inf, "c": -math.inf}, {"a": 1, "b": 1, "c": 1}
    ) == [
        "a",
        "b",
        "c",
    ]
