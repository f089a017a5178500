"""The errors that were measured last, for whoever watches the cluster."""

from collections.abc import Mapping
from typing import Any

from ray.util import metrics

__all__ = ["report_nme"]


def report_nme(summary: Mapping[str, Any]) -> None:
    """Hands ICP NME by set, model and band of yaw to Ray's metrics, both sides together.

    Metric: ``rayboot_nme_percent``; it is there until the driver ends.

    Args:
        summary: from :func:`rayboot.evaluate.report.summary.summarize`.
    """
    gauge = metrics.Gauge(
        "rayboot_nme_percent", "NME after ICP.", tag_keys=("set", "model", "band")
    )
    for row in summary["rows"]:
        if row["align"] == "icp" and row["side"] == "both":
            gauge.set(row["mean"], {key: row[key] for key in ("set", "model", "band")})
