"""Several rounds, each taught by the champion of the one before, until one no longer helps."""

import json
import logging
from pathlib import Path

from rayboot.config import FrozenConfig
from rayboot.io.storage import join_uri, require_writable, write_bytes
from rayboot.registry.resolve import resolve_model
from rayboot.rounds.round import RoundResult, run_round
from rayboot.rounds.round_config import RoundConfig

__all__ = ["run_rounds"]

_LOG = logging.getLogger(__name__)

_NAME = "series.json"


class _Series(FrozenConfig):
    """What must not change when a series goes on."""

    model: str
    """The first teacher, pinned: by then its alias may name a later round's."""


def run_rounds(config: RoundConfig, num_rounds: int) -> list[RoundResult]:
    """Runs rounds one after the other, or what is left of them.

    Round N is at ``OUTPUT/round-N``. The series ends before its time when a round's
    candidate is not promoted: the gate saw no gain, or its shapes drift.

    Args:
        config: of the first round; all read the same photos.
        num_rounds: at most.

    Returns:
        The rounds that were run.

    Raises:
        RequestError: as :func:`rayboot.rounds.round.run_round` raises it.
    """
    config = config.with_absolute_paths()
    output, tracking_uri = Path(config.output), config.tracking_uri
    assert tracking_uri is not None
    require_writable(config.output)
    first = _first_teacher(output, config.model, tracking_uri)
    teacher, results = first, list[RoundResult]()
    for number in range(1, num_rounds + 1):
        _LOG.info("round %d of at most %d, taught by %s", number, num_rounds, teacher)
        result = run_round(
            config.replace(
                output=str(output / f"round-{number}"),
                storage=config.storage and join_uri(config.storage, f"round-{number}"),
                model=teacher,
                first_teacher=config.first_teacher or first,
                generate=config.generate.replace(round_index=number - 1),
            )
        )
        results.append(result)
        if not result.promoted:
            _LOG.info("the series ends with round %d: %s", number, result.reason)
            break
        teacher = f"models:/{config.registered_model}/{result.version}"
    return results


def _first_teacher(output: Path, model: str, tracking_uri: str) -> str:
    path = output / _NAME
    if path.exists():
        return _Series.model_validate(json.loads(path.read_text("utf-8"))).model
    series = _Series(model=resolve_model(model, tracking_uri).uri)
    write_bytes(str(path), series.model_dump_json(indent=1).encode())
    return series.model
