"""Provenance of a registered version, stored as its tags in the registry."""

import hashlib
import json
from pathlib import Path

from rayboot import __version__
from rayboot.data.manifest import require_finished
from rayboot.registry.model_versions import ModelVersion
from rayboot.registry.resolve import resolve_model
from rayboot.rounds.round_config import RoundConfig
from rayboot.rounds.round_state import RoundState

__all__ = ["describe_version", "version_tags"]

_TAGGED_COUNTS = ("faces", "views", "views_left_out", "rejects")
"""Counts of the manifest that are stored in the tag ``rayboot.counts``."""


def version_tags(config: RoundConfig, state: RoundState, candidate: Path) -> dict[str, str]:
    """Returns the registry tags of a round's candidate.

    Args:
        config: config of the round, with absolute paths.
        state: state of the round.
        candidate: the candidate's weights file.
    """
    manifest = require_finished(config.pairs_uri, state.manifest)
    counts = {name: manifest.counts.get(name, 0) for name in _TAGGED_COUNTS}
    teacher = resolve_model(state.model, config.tracking_uri)
    return {
        "rayboot.teacher": state.model,
        "rayboot.teacher_digest": teacher.sha256,
        "rayboot.weights_digest": _file_digest(candidate),
        "rayboot.pairs": config.pairs_uri,
        "rayboot.manifest_digest": manifest.digest(),
        "rayboot.config_digest": state.config_digest,
        "rayboot.version": __version__,
        "rayboot.round_index": str(config.generate.round_index),
        "rayboot.counts": json.dumps(counts),
        "rayboot.rejects": json.dumps(
            {name: count for name, count in manifest.counts.items() if name.startswith("reject/")}
        ),
    }


def describe_version(version: ModelVersion) -> str:
    """Returns a readable description of a version's provenance, one fact per line."""
    counts = json.loads(version.tags.get("rayboot.counts", "{}"))
    rejects = json.loads(version.tags.get("rayboot.rejects", "{}"))
    facts = {
        "model": version.uri + "".join(f", {alias}" for alias in version.aliases),
        "teacher": version.tags.get("rayboot.teacher", "unknown"),
        "data set": version.tags.get("rayboot.pairs", "unknown"),
        "manifest": version.tags.get("rayboot.manifest_digest", "unknown"),
        "config": version.tags.get("rayboot.config_digest", "unknown"),
        "rayboot": version.tags.get("rayboot.version", "unknown"),
        "MLflow run": version.run_id,
        "counts": ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in counts.items()),
    }
    lines = [f"{key:<11} {value}" for key, value in facts.items()]
    lines += [
        f"{'rejected':<11} {count} {name.removeprefix('reject/').replace('/', ', ')}"
        for name, count in rejects.items()
    ]
    return "\n".join(lines)


def _file_digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
