import math

from rayboot.registry.thresholds import exceeded


def test_figures_above_their_limits_are_named() -> None:
    figures = {"front": 0.08, "profile": -0.2, "other": 9.0}
    assert exceeded(figures, {"front": 0.07, "profile": -0.1}) == ["front"]
    assert exceeded(figures, {"front": 0.08, "profile": -0.3}) == ["profile"]
    assert exceeded(figures, {"front": 0.0801, "profile": 0.0}) == []


def test_no_number_passes_no_limit() -> None:
    assert exceeded({"a": math.nan, "b": math.inf, "c": -math.inf}, {"a": 1, "b": 1, "c": 1}) == [
        "a",
        "b",
        "c",
    ]
