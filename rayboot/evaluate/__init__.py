"""Evaluation of networks: datasets with ground truth, error metrics and reports."""

from rayboot.evaluate.metrics.nme import nme

__all__ = ["nme"]
