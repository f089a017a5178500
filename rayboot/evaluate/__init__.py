"""Evaluation: datasets with ground truth, error metrics, reports."""

from rayboot.evaluate.metrics.nme import nme

__all__ = ["nme"]
