"""State of a round, stored in its output folder so that the round can be resumed."""

import json
from pathlib import Path

from pydantic import Field

from rayboot.config import FrozenConfig
from rayboot.data.fingerprint import require_same_request
from rayboot.io.storage import write_bytes

__all__ = ["STATE_FILE", "RoundState", "load_state", "read_state", "save_state"]

STATE_FILE = "round.json"


class RoundState(FrozenConfig):
    """The state that is written after every step."""

    config_digest: str
    """Digest of the round's config except its locations, so that two requests never mix."""
    model: str
    """Network to improve, with an alias replaced by its version."""
    run_id: str
    """Id of the MLflow run."""
    yaw_steps_deg: tuple[float, ...] = ()
    """Yaw steps that were chosen from the network's disagreement; empty: those of the config."""
    manifest: str | None = None
    """Digest of the manifest of the pairs that the candidate is trained on; None before they are
    generated, and in rounds of version 0.1."""
    champion: str | None = None
    """Version that was the champion when the round began: the one to beat."""
    under_way: str | None = None
    """Name of the step that runs or was interrupted."""
    seconds: dict[str, float] = Field({})
    """Duration by step that is done; the longest where a finished step was called again."""
    version: str | None = None
    """Version of the registered candidate."""
    promoted: bool | None = None
    """Whether the candidate was promoted; None until that is decided."""
    reason: str | None = None
    """Reason why the candidate was promoted or was not."""


def read_state(output: Path) -> RoundState | None:
    """Returns the state of the round at ``output``, whatever its config; None without a round."""
    path = output / STATE_FILE
    if not path.exists():
        return None
    return RoundState.model_validate(json.loads(path.read_text("utf-8")))


def load_state(output: Path, config_digest: str) -> RoundState | None:
    """Returns the state of the round at ``output``, or None where no round was begun.

    Raises:
        RequestError: the folder contains a round of another config.
    """
    state = read_state(output)
    if state is None:
        return None
    stored = {"config_digest": state.config_digest}
    require_same_request(str(output), stored, {"config_digest": config_digest})
    return state


def save_state(output: Path, state: RoundState) -> RoundState:
    """Writes the state atomically and returns it."""
    text = json.dumps(state.model_dump(mode="json"), indent=1) + "\n"
    write_bytes(str(output / STATE_FILE), text.encode())
    return state
