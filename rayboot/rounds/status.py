"""The state of all rounds below a folder, and of the registry that they fill."""

from pathlib import Path

from rayboot.errors import RequestError
from rayboot.registry.model_versions import ModelVersion, list_versions
from rayboot.rounds.round_state import STATE_FILE, RoundState, read_state

__all__ = ["describe_registry", "describe_rounds"]

STEPS = ("generate", "finetune", "evaluate", "drift", "register", "report")


def describe_rounds(folder: Path) -> str:
    """For a person: every round below ``folder``, with its steps.

    Raises:
        RequestError: there is none.
    """
    outputs = sorted(path.parent for path in folder.rglob(STATE_FILE))
    states = [(output, read_state(output)) for output in outputs]
    lines = [_describe(output, state) for output, state in states if state is not None]
    if not lines:
        raise RequestError(
            f"{folder}: holds no round ({STATE_FILE}); give a folder that `rayboot round` or "
            "`rayboot demo` wrote to"
        )
    return "\n".join(lines)


def describe_registry(tracking_uri: str) -> str:
    """For a person: versions that have an alias, a line each."""
    named = [version for version in list_versions(tracking_uri) if version.aliases]
    return "\n".join(_describe_version(version) for version in named)


def _describe(output: Path, state: RoundState) -> str:
    steps = ", ".join(f"{name} {_step(state, name)}" for name in STEPS)
    lines = [str(output), f"  teacher {state.model}", f"  {steps}"]
    if state.promoted is not None:
        decision = "the champion" if state.promoted else "not promoted"
        lines.append(f"  version {state.version}, {decision}: {state.reason}")
    return "\n".join(lines)


def _step(state: RoundState, name: str) -> str:
    if state.under_way == name:
        return "under way or stopped"
    spent = state.seconds.get(name)
    return "to do" if spent is None else f"{spent:.0f} s"


def _describe_version(version: ModelVersion) -> str:
    return f"{version.uri}  {', '.join(version.aliases)}"
