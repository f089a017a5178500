"""Which MLflow run a fine-tuning belongs to, kept beside its checkpoints."""

import json

from rayboot.errors import RequestError
from rayboot.io.storage import exists, join_uri, read_bytes, write_bytes
from rayboot.registry.runs import Run
from rayboot.train.training_config import FinetuneConfig

__all__ = ["load_run", "save_run"]


def save_run(config: FinetuneConfig, run: Run) -> None:
    """Notes the run, for the same command again."""
    kept = {"run_id": run.run_id, "config_digest": config.content_digest()}
    write_bytes(_uri(config), json.dumps(kept, indent=1).encode())


def load_run(config: FinetuneConfig) -> str | None:
    """The id of the run that was begun under this name; None where there is none.

    Raises:
        RequestError: it was begun with another config.
    """
    if not exists(_uri(config)):
        return None
    kept = json.loads(read_bytes(_uri(config)))
    if kept["config_digest"] != config.content_digest():
        raise RequestError(
            f"storage {config.storage}: run {config.name} was begun with another config (digest "
            f"{kept['config_digest'][:12]}, this one has {config.content_digest()[:12]}); choose "
            "another name, or another storage"
        )
    run_id: str = kept["run_id"]
    return run_id


def _uri(config: FinetuneConfig) -> str:
    return join_uri(config.storage, f"{config.name}.run.json")
