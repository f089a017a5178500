"""What a round has done so far, kept beside its results so that it can go on."""

import json
from pathlib import Path

from rayboot.config import FrozenConfig
from rayboot.errors import RequestError
from rayboot.io.storage import write_bytes

__all__ = ["STATE_FILE", "RoundState", "load_state", "read_state", "save_state"]

STATE_FILE = "round.json"


class RoundState(FrozenConfig):
    """Written after every step."""

    config_digest: str
    """Of the round's config, output and store apart: another request never mixes in."""
    model: str
    """The network to improve, an alias pinned to its version."""
    run_id: str
    """Of the MLflow run."""
    yaw_steps_deg: tuple[float, ...] = ()
    """Turns that were chosen by the network's disagreement; empty: the config's own."""
    champion: str | None = None
    """Version that was the champion when the round began: the one to beat."""
    under_way: str | None = None
    """The step that runs, or was stopped."""
    seconds: dict[str, float] = {}
    """Of each step that is done, all its attempts together."""
    version: str | None = None
    """Of the registered candidate."""
    promoted: bool | None = None
    """None until that is decided."""
    reason: str | None = None
    """Why it was promoted, or was not."""


def read_state(output: Path) -> RoundState | None:
    """The state of the round at ``output``, whatever its config; None where none was begun."""
    path = output / STATE_FILE
    if not path.exists():
        return None
    return RoundState.model_validate(json.loads(path.read_text("utf-8")))


def load_state(output: Path, config_digest: str) -> RoundState | None:
    """The state of the round at ``output``, or None where none was begun.

    Raises:
        RequestError: the folder holds a round of another config.
    """
    state = read_state(output)
    if state is None:
        return None
    if state.config_digest != config_digest:
        raise RequestError(
            f"output {output}: holds a round of another config (digest "
            f"{state.config_digest[:12]}, this one has {config_digest[:12]}); choose a new "
            "output, or remove the old one"
        )
    return state


def save_state(output: Path, state: RoundState) -> RoundState:
    """Writes the state as a whole; returns it."""
    text = json.dumps(state.model_dump(mode="json"), indent=1) + "\n"
    write_bytes(str(output / STATE_FILE), text.encode())
    return state
