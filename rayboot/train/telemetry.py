"""Current losses and errors of a training, exported to Prometheus through Ray.

These gauges show the latest values and disappear with the worker; MLflow keeps the history.
"""

from collections.abc import Mapping

from ray.util import metrics

__all__ = ["TrainingTelemetry"]

_VAL_NME = "val_nme/"


class TrainingTelemetry:
    """Prometheus gauges of a run, set by its worker of rank 0.

    Gauges: ``rayboot_loss`` by split (``train``: last step, ``val``: last epoch),
    ``rayboot_val_nme_percent`` by band of yaw.

    Args:
        run: name of the run, a label of all gauges.
    """

    def __init__(self, run: str) -> None:
        self._loss = metrics.Gauge("rayboot_loss", "Loss.", ("run", "split"))
        self._nme = metrics.Gauge(
            "rayboot_val_nme_percent",
            "Distance to the teacher's transformed shapes.",
            ("run", "band"),
        )
        for gauge in (self._loss, self._nme):
            gauge.set_default_tags({"run": run})

    def report_step(self, loss: float) -> None:
        """Sets the training loss, after a step."""
        self._loss.set(loss, {"split": "train"})

    def report_epoch(self, epoch_metrics: Mapping[str, float]) -> None:
        """Sets the validation loss and errors, after an epoch.

        Args:
            epoch_metrics: metrics as logged to MLflow; ``val_loss`` and ``val_nme/BAND`` are
                used.
        """
        self._loss.set(epoch_metrics["val_loss"], {"split": "val"})
        for name, value in epoch_metrics.items():
            if name.startswith(_VAL_NME):
                self._nme.set(value, {"band": name.removeprefix(_VAL_NME)})
