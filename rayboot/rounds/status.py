"""Readable descriptions of all rounds below a folder, and of the registry."""

import time
from collections.abc import Iterator
from pathlib import Path

from rayboot.errors import RequestError
from rayboot.registry.model_versions import ModelVersion, list_versions
from rayboot.rounds.round_state import STATE_FILE, RoundState, read_state

__all__ = ["describe_registry", "describe_rounds", "watch_rounds"]

STEPS = ("generate", "finetune", "evaluate", "drift", "register", "report")


def describe_rounds(folder: Path, *, with_elapsed: bool = False) -> str:
    """Describes every round below ``folder`` with its steps.

    Args:
        folder: folder of one round or of several.
        with_elapsed: whether the time since a step began is given.

    Raises:
        RequestError: there is no round below ``folder``.
    """
    states = _read_states(folder)
    return "\n".join(
        _describe_round(output, state, with_elapsed=with_elapsed) for output, state in states
    )


def watch_rounds(
    folder: Path, interval_s: float = 2.0, *, with_elapsed: bool = False
) -> Iterator[str]:
    """Yields :func:`describe_rounds` at intervals, last when no round is unfinished.

    A round that was interrupted is unfinished too: it may be resumed at any time.

    Args:
        folder: folder of one round or of several.
        interval_s: time between two descriptions, seconds.
        with_elapsed: as in :func:`describe_rounds`.

    Raises:
        RequestError: there is no round below ``folder``.
    """
    while True:
        # Read before the description, so that the last one shows the end.
        is_finished = all(_is_finished(state) for _, state in _read_states(folder))
        yield describe_rounds(folder, with_elapsed=with_elapsed)
        if is_finished:
            return
        time.sleep(interval_s)


def _read_states(folder: Path) -> list[tuple[Path, RoundState]]:
    outputs = sorted(path.parent for path in folder.rglob(STATE_FILE))
    read = [(output, read_state(output)) for output in outputs]
    states = [(output, state) for output, state in read if state is not None]
    if not states:
        raise RequestError(
            f"{folder}: contains no round ({STATE_FILE}); give a folder that `rayboot round` or "
            "`rayboot demo` wrote to"
        )
    return states


def _is_finished(state: RoundState) -> bool:
    return state.under_way is None and STEPS[-1] in state.seconds


def describe_registry(tracking_uri: str) -> str:
    """Lists the registered versions that have an alias, one per line."""
    versions = [version for version in list_versions(tracking_uri) if version.aliases]
    return "\n".join(_describe_version(version) for version in versions)


def _describe_round(output: Path, state: RoundState, *, with_elapsed: bool) -> str:
    # The state is written when a step begins.
    begun = (output / STATE_FILE).stat().st_mtime if with_elapsed else None
    steps = ", ".join(f"{name} {_describe_step(state, name, begun)}" for name in STEPS)
    lines = [str(output), f"  teacher {state.model}", f"  {steps}"]
    if state.promoted is not None:
        decision = "the champion" if state.promoted else "not promoted"
        lines.append(f"  version {state.version}, {decision}: {state.reason}")
    return "\n".join(lines)


def _describe_step(state: RoundState, name: str, begun: float | None) -> str:
    if state.under_way == name:
        elapsed = "" if begun is None else f", begun {max(0, time.time() - begun):.0f} s ago"
        return f"running or interrupted{elapsed}"
    seconds = state.seconds.get(name)
    return "to do" if seconds is None else f"{seconds:.0f} s"


def _describe_version(version: ModelVersion) -> str:
    return f"{version.uri}  {', '.join(version.aliases)}"
