"""A candidate's figures against limits, by MLflow's own evaluation thresholds."""

from collections.abc import Mapping

import mlflow
from mlflow.models import MetricThreshold
from mlflow.models.evaluation import EvaluationResult
from mlflow.models.evaluation.validation import ModelValidationFailedException

__all__ = ["exceeded"]


def exceeded(figures: Mapping[str, float], limits: Mapping[str, float]) -> list[str]:
    """Names of the figures that are above their limits, in the order of the limits.

    Args:
        figures: by name; one that is not finite exceeds any limit.
        limits: the most that is allowed, by the same names.
    """
    return [name for name, limit in limits.items() if not _holds(name, figures[name], limit)]


def _holds(name: str, value: float, limit: float) -> bool:
    # MLflow compares with >=, which a figure that is no number would pass.
    if not abs(value) < float("inf"):
        return False
    threshold = MetricThreshold(threshold=limit, greater_is_better=False)
    try:
        mlflow.validate_evaluation_results({name: threshold}, EvaluationResult({name: value}, {}))
    except ModelValidationFailedException:
        return False
    return True
