"""Where training stands, for whoever watches the cluster: Ray hands it to Prometheus.

Kept by MLflow are the figures themselves; these are the latest ones, gone with the worker.
"""

from collections.abc import Mapping

from ray.util import metrics

__all__ = ["TrainingTelemetry"]

_VAL_NME = "val_nme/"


class TrainingTelemetry:
    """Of one worker of a run, its rank 0.

    Metrics: ``rayboot_loss`` by split (``train`` of the last step, ``val`` of the last epoch),
    ``rayboot_val_nme_percent`` by band of yaw.

    Args:
        run: name of the run, a label of all.
    """

    def __init__(self, run: str) -> None:
        self._loss = metrics.Gauge("rayboot_loss", "Loss.", ("run", "split"))
        self._nme = metrics.Gauge(
            "rayboot_val_nme_percent", "Distance to the teacher's turned shapes.", ("run", "band")
        )
        for gauge in (self._loss, self._nme):
            gauge.set_default_tags({"run": run})

    def report_step(self, loss: float) -> None:
        """After a step."""
        self._loss.set(loss, {"split": "train"})

    def report_epoch(self, figures: Mapping[str, float]) -> None:
        """After an epoch, ``val_loss`` and ``val_nme/BAND`` of what MLflow is told."""
        self._loss.set(figures["val_loss"], {"split": "val"})
        for name, value in figures.items():
            if name.startswith(_VAL_NME):
                self._nme.set(value, {"band": name.removeprefix(_VAL_NME)})
