"""Comparing metrics with limits through MLflow's evaluation thresholds."""

from collections.abc import Mapping

import mlflow
from mlflow.models import MetricThreshold
from mlflow.models.evaluation import EvaluationResult
from mlflow.models.evaluation.validation import ModelValidationFailedException

__all__ = ["find_exceeded"]


def find_exceeded(metrics: Mapping[str, float], limits: Mapping[str, float]) -> list[str]:
    """Returns the names of the metrics that exceed their limits, in the order of the limits.

    Args:
        metrics: values by name; a value that is not finite exceeds any limit.
        limits: largest allowed values, by the same names.
    """
    return [name for name, limit in limits.items() if not _is_within(name, metrics[name], limit)]


def _is_within(name: str, value: float, limit: float) -> bool:
    # MLflow only rejects values that compare as too large, so NaN would pass.
    if not abs(value) < float("inf"):
        return False
    threshold = MetricThreshold(threshold=limit, greater_is_better=False)
    try:
        mlflow.validate_evaluation_results({name: threshold}, EvaluationResult({name: value}, {}))
    except ModelValidationFailedException:
        return False
    return True
