"""The MLflow run of a training, recorded next to its checkpoints."""

from rayboot.data.fingerprint import Fingerprint
from rayboot.registry.runs import Run
from rayboot.train.training_config import TrainingConfig

__all__ = ["load_run", "save_run"]


def save_run(config: TrainingConfig, run: Run) -> None:
    """Records the run, so that the same command resumes it."""
    _fingerprint(config).save(run_id=run.run_id)


def load_run(config: TrainingConfig) -> str | None:
    """Returns the id of the run that was started under this name; None where there is none.

    Raises:
        RequestError: That run has another config.
    """
    stored = _fingerprint(config).load()
    return None if stored is None else str(stored["run_id"])


def _fingerprint(config: TrainingConfig) -> Fingerprint:
    return Fingerprint(
        config.checkpoint_uri,
        f"{config.name}.run.json",
        {"config_digest": config.content_digest()},
        remedy="choose another name, or another folder",
    )
