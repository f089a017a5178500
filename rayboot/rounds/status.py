"""Readable descriptions of all rounds below a folder, and of the registry."""

from pathlib import Path

from rayboot.errors import RequestError
from rayboot.registry.model_versions import ModelVersion, list_versions
from rayboot.rounds.round_state import STATE_FILE, RoundState, read_state

__all__ = ["describe_registry", "describe_rounds"]

STEPS = ("generate", "finetune", "evaluate", "drift", "register", "report")


def describe_rounds(folder: Path) -> str:
    """Describes every round below ``folder`` with its steps.

    Raises:
        RequestError: there is no round below ``folder``.
    """
    outputs = sorted(path.parent for path in folder.rglob(STATE_FILE))
    states = [(output, read_state(output)) for output in outputs]
    descriptions = [_describe_round(output, state) for output, state in states if state is not None]
    if not descriptions:
        raise RequestError(
            f"{folder}: contains no round ({STATE_FILE}); give a folder that `rayboot round` or "
            "`rayboot demo` wrote to"
        )
    return "\n".join(descriptions)


def describe_registry(tracking_uri: str) -> str:
    """Lists the registered versions that have an alias, one per line."""
    versions = [version for version in list_versions(tracking_uri) if version.aliases]
    return "\n".join(_describe_version(version) for version in versions)


def _describe_round(output: Path, state: RoundState) -> str:
    steps = ", ".join(f"{name} {_describe_step(state, name)}" for name in STEPS)
    lines = [str(output), f"  teacher {state.model}", f"  {steps}"]
    if state.promoted is not None:
        decision = "the champion" if state.promoted else "not promoted"
        lines.append(f"  version {state.version}, {decision}: {state.reason}")
    return "\n".join(lines)


def _describe_step(state: RoundState, name: str) -> str:
    if state.under_way == name:
        return "running or interrupted"
    seconds = state.seconds.get(name)
    return "to do" if seconds is None else f"{seconds:.0f} s"


def _describe_version(version: ModelVersion) -> str:
    return f"{version.uri}  {', '.join(version.aliases)}"
