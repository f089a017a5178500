from typing import Any

import pytest

from rayboot.evaluate import nme_telemetry
from tests.fake_metrics import GaugeBoard


def row(band: str, mean: float, **changes: str) -> dict[str, Any]:
    values = {"dataset": "synthetic", "model": "one", "align": "icp", "side": "both"}
    return {**values, "band": band, "mean": mean, "low": 0.0, **changes}


def test_errors_after_icp_are_reported_by_band(monkeypatch: pytest.MonkeyPatch) -> None:
    board = GaugeBoard()
    monkeypatch.setattr(nme_telemetry.metrics, "Gauge", board)
    others = [row("0 to 15", 9.0, align="none"), row("0 to 15", 9.0, side="left")]
    nme_telemetry.report_nme({"rows": [row("0 to 15", 2.5), row("all", 3.0), *others]})
    name = "rayboot_nme_percent"
    assert board.value(name, dataset="synthetic", model="one", band="0 to 15") == 2.5
    assert board.value(name, dataset="synthetic", model="one", band="all") == 3.0
    assert len(board.shown) == 2
