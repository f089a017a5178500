"""A series of rounds, each taught by the champion of the one before, until one does not help."""

import json
import logging
from pathlib import Path

from rayboot.config import FrozenConfig
from rayboot.io.absolute_paths import absolute_model
from rayboot.io.storage import join_uri, require_writable, write_bytes
from rayboot.registry.resolve import resolve_model
from rayboot.rounds.round import RoundResult, prepare_round, run_prepared_round
from rayboot.rounds.round_config import RoundConfig

__all__ = ["run_rounds"]

_LOG = logging.getLogger(__name__)

_STATE_FILE = "series.json"


class _SeriesState(FrozenConfig):
    """State of a series that must not change when it is resumed."""

    model: str
    """The first teacher, pinned to a version: its alias may name a later round's model by then."""


def run_rounds(config: RoundConfig, num_rounds: int) -> list[RoundResult]:
    """Runs rounds one after the other, or finishes what remains of them.

    Round N is stored at ``OUTPUT/round-N``. The series ends early when a round's candidate
    is not promoted, because the gate found no gain or the shapes drift.

    Args:
        config: config of the first round; all rounds read the same photos.
        num_rounds: largest number of rounds.

    Returns:
        The results of the rounds that were run.

    Raises:
        RequestError: as :func:`rayboot.rounds.round.prepare_round` raises it.
    """
    config = config.with_absolute_paths()
    output, tracking_uri = Path(config.output), config.tracking_uri
    assert tracking_uri is not None
    require_writable(config.output)
    first = _stored_teacher(output) or resolve_model(absolute_model(config.model), tracking_uri).uri
    teacher, results = first, list[RoundResult]()
    for number in range(1, num_rounds + 1):
        _LOG.info("round %d of at most %d, teacher %s", number, num_rounds, teacher)
        plan = prepare_round(
            config.replace(
                output=str(output / f"round-{number}"),
                storage=config.storage and join_uri(config.storage, f"round-{number}"),
                model=teacher,
                first_teacher=config.first_teacher or first,
                generate=config.generate.replace(round_index=number - 1),
            )
        )
        # Nothing is written before the first round's request is accepted.
        _store_teacher(output, first)
        result = run_prepared_round(plan)
        results.append(result)
        if not result.promoted:
            _LOG.info("the series ends with round %d: %s", number, result.reason)
            break
        teacher = f"models:/{config.registered_model}/{result.version}"
    return results


def _stored_teacher(output: Path) -> str | None:
    """Returns the first teacher as stored with the series; None for a new series."""
    path = output / _STATE_FILE
    if not path.exists():
        return None
    return _SeriesState.model_validate(json.loads(path.read_text("utf-8"))).model


def _store_teacher(output: Path, model: str) -> None:
    path = output / _STATE_FILE
    if not path.exists():
        payload = _SeriesState(model=model).model_dump_json(indent=1).encode()
        write_bytes(str(path), payload)
