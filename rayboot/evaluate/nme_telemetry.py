"""The latest errors as a Ray metric, for dashboards."""

from collections.abc import Mapping
from typing import Any

from ray.util import metrics

__all__ = ["report_nme"]

_LABELS = ("dataset", "model", "band")


def report_nme(summary: Mapping[str, Any]) -> None:
    """Reports the NME after ICP by dataset, model and yaw band, both sides together.

    The metric is ``rayboot_nme_percent``; Ray exports it until the driver ends.

    Args:
        summary: Result of :func:`rayboot.evaluate.report.summary.summarize`.
    """
    gauge = metrics.Gauge("rayboot_nme_percent", "NME after ICP.", tag_keys=_LABELS)
    for row in summary["rows"]:
        if row["align"] == "icp" and row["side"] == "both":
            gauge.set(row["mean"], {label: row[label] for label in _LABELS})
