"""The MLflow run of a fine-tuning, recorded next to its checkpoints."""

from rayboot.data.fingerprint import Fingerprint
from rayboot.registry.runs import Run
from rayboot.train.training_config import FinetuneConfig

__all__ = ["load_run", "save_run"]


def save_run(config: FinetuneConfig, run: Run) -> None:
    """Records the run, so that the same command resumes it."""
    _fingerprint(config).save(run_id=run.run_id)


def load_run(config: FinetuneConfig) -> str | None:
    """Returns the id of the run that was started under this name; None where there is none.

    Raises:
        RequestError: That run has another config.
    """
    stored = _fingerprint(config).load()
    return None if stored is None else str(stored["run_id"])


def _fingerprint(config: FinetuneConfig) -> Fingerprint:
    return Fingerprint(
        config.storage,
        f"{config.name}.run.json",
        {"config_digest": config.content_digest()},
        remedy="choose another name, or another storage",
    )
