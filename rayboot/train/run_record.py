"""The MLflow run of a fine-tuning, recorded next to its checkpoints."""

import json

from rayboot.errors import RequestError
from rayboot.io.storage import exists, join_uri, read_bytes, write_bytes
from rayboot.registry.runs import Run
from rayboot.train.training_config import FinetuneConfig

__all__ = ["load_run", "save_run"]


def save_run(config: FinetuneConfig, run: Run) -> None:
    """Records the run, so that the same command resumes it."""
    record = {"run_id": run.run_id, "config_digest": config.content_digest()}
    write_bytes(_uri(config), json.dumps(record, indent=1).encode())


def load_run(config: FinetuneConfig) -> str | None:
    """Returns the id of the run that was started under this name; None where there is none.

    Raises:
        RequestError: that run has another config.
    """
    if not exists(_uri(config)):
        return None
    record = json.loads(read_bytes(_uri(config)))
    if record["config_digest"] != config.content_digest():
        raise RequestError(
            f"storage {config.storage}: run {config.name} was started with another config (digest "
            f"{record['config_digest'][:12]}, this config has {config.content_digest()[:12]}); "
            "choose another name, or another storage"
        )
    run_id: str = record["run_id"]
    return run_id


def _uri(config: FinetuneConfig) -> str:
    return join_uri(config.storage, f"{config.name}.run.json")
