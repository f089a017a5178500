import pytest

from rayboot.train import telemetry
from rayboot.train.train_state import EpochRecord
from tests.fake_metrics import GaugeBoard


def test_gauges_have_the_latest_values(monkeypatch: pytest.MonkeyPatch) -> None:
    board = GaugeBoard()
    monkeypatch.setattr(telemetry.metrics, "Gauge", board)
    gauges = telemetry.TrainingTelemetry("spring")
    gauges.report_step(0.5)
    gauges.report_step(0.25)
    epoch = EpochRecord(0, 1e-3, 0.375, 0.3, 0.9, 0.0)
    gauges.report_epoch({**epoch._asdict(), "val_nme/0_to_30": 2.0, "val_nme/30_to_60": 4.0})
    assert board.value("rayboot_loss", run="spring", split="train") == 0.25
    assert board.value("rayboot_loss", run="spring", split="val") == 0.3
    assert board.value("rayboot_val_nme_percent", run="spring", band="30_to_60") == 4.0
    assert len(board.shown) == 4
