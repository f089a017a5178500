import pytest

from rayboot.train import telemetry as gauges
from rayboot.train.train_state import EpochRecord
from tests.fake_metrics import GaugeBoard


def test_the_latest_figures_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    board = GaugeBoard()
    monkeypatch.setattr(gauges.metrics, "Gauge", board)
    shown = gauges.TrainingTelemetry("spring")
    shown.report_step(0.5)
    shown.report_step(0.25)
    epoch = EpochRecord(0, 1e-3, 0.375, 0.3, 0.9, 0.0)
    shown.report_epoch({**epoch._asdict(), "val_nme/0_to_30": 2.0, "val_nme/30_to_60": 4.0})
    assert board.value("rayboot_loss", run="spring", split="train") == 0.25
    assert board.value("rayboot_loss", run="spring", split="val") == 0.3
    assert board.value("rayboot_val_nme_percent", run="spring", band="30_to_60") == 4.0
    assert len(board.shown) == 4
