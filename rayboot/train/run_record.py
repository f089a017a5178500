"""The MLflow run of a training, recorded next to its checkpoints."""

from rayboot.data.fingerprint import Fingerprint
from rayboot.registry.runs import Run
from rayboot.train.training_config import TrainingConfig

__all__ = ["load_manifest_digest", "load_run", "save_run"]


def save_run(config: TrainingConfig, run: Run, manifest: str | None = None) -> None:
    """Records the run, so that the same command resumes it.

    Args:
        config: Settings of the run.
        run: The run.
        manifest: Digest of the manifest of its data set, which may grow before it is resumed.
    """
    _fingerprint(config).save(run_id=run.run_id, manifest_digest=manifest)


def load_run(config: TrainingConfig) -> str | None:
    """Returns the id of the run that was started under this name; None where there is none.

    Raises:
        RequestError: That run has another config.
    """
    stored = _fingerprint(config).load()
    return None if stored is None else str(stored["run_id"])


def load_manifest_digest(config: TrainingConfig) -> str | None:
    """Returns the digest of the manifest that the run of this name began with, if it is recorded.

    Raises:
        RequestError: That run has another config.
    """
    stored = _fingerprint(config).load()
    return None if stored is None else stored.get("manifest_digest")


def _fingerprint(config: TrainingConfig) -> Fingerprint:
    return Fingerprint(
        config.checkpoint_uri,
        f"{config.name}.run.json",
        {"config_digest": config.content_digest()},
        remedy="choose another name, or another folder",
    )
