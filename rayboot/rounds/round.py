"""One bootstrap round: generate, fine-tune, evaluate, gate, register, report.

The same call again goes on where the last one stopped: every step keeps its
result under the output folder, and ``round.json`` notes what is done.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from rayboot.cluster import connect
from rayboot.data.storage import require_writable
from rayboot.evaluate.faces import check_faces
from rayboot.evaluate.report import BandRow, tabulate_bands
from rayboot.pipeline.generate import generate
from rayboot.pipeline.summary import GenerateSummary
from rayboot.registry.models import pin_model, promote
from rayboot.registry.tracking import Run, open_run
from rayboot.rounds.config import RoundConfig
from rayboot.rounds.gate import Verdict, judge
from rayboot.rounds.page import write_page
from rayboot.rounds.state import RoundState, load_state, save_state
from rayboot.rounds.steps import (
    AFTER,
    BEFORE,
    Errors,
    evaluate_step,
    finetune_step,
    plan_pairs,
    register_step,
)

__all__ = ["RoundResult", "run_round"]

_LOG = logging.getLogger(__name__)


class RoundResult(NamedTuple):
    """What a round came to.

    Attributes:
        report: the page.
        tracking_uri: of the MLflow store that has the run and the model.
        rows: ICP NME in % by band of |yaw|, before and after.
        summary: of the pairs data set.
        verdict: of the gate.
        version: of the registered candidate.
        seconds: of each step.
    """

    report: Path
    tracking_uri: str
    rows: list[BandRow]
    summary: GenerateSummary
    verdict: Verdict
    version: str
    seconds: dict[str, float]


def run_round(config: RoundConfig) -> RoundResult:
    """Runs a round, or what is left of it.

    Raises:
        RequestError: photos, evaluation faces or model are missing, or the output
            cannot be written or holds another round; before Ray starts.
    """
    output = Path(config.output).expanduser().resolve()
    require_writable(str(output))
    tracking_uri = config.tracking_uri or f"sqlite:///{output / 'mlflow.db'}"
    config = config.replace(output=str(output), tracking_uri=tracking_uri)
    check_faces(config.evaluation)
    state = load_state(output, _digest(config))
    model = state.model if state else pin_model(config.model, tracking_uri)
    plan = plan_pairs(config, model)
    if state is None:
        run = open_run(tracking_uri, config.experiment, output.name, (output / "mlruns").as_uri())
        run.log_params({"round": config.model_dump(mode="json", exclude={"output"})})
        state = save_state(
            output, RoundState(config_digest=_digest(config), model=model, run_id=run.run_id)
        )
    run = Run(tracking_uri, state.run_id)
    steps = _Steps(output, state)
    with run.closing(), connect(num_cpus=config.num_cpus):
        with steps.timed("generate"):
            summary = generate(plan)
        with steps.timed("finetune"):
            candidate = finetune_step(config, model, run)
        with steps.timed("evaluate"):
            errors = evaluate_step(config, model, candidate)
        verdict = judge(errors[BEFORE], errors[AFTER], config.gate)
        with steps.timed("register"):
            version = _register(config, run, steps, candidate, verdict)
        rows = tabulate_bands(errors, config.evaluation.bands)
        with steps.timed("report"):
            report = write_page(config, steps.state, candidate, summary, errors, verdict)
        _record(run, summary, errors, rows, report)
    return RoundResult(report, tracking_uri, rows, summary, verdict, version, steps.state.seconds)


def _digest(config: RoundConfig) -> str:
    # Where it is written and who watches do not change what a round is.
    return config.replace(output="", tracking_uri=None, num_cpus=None).digest()


class _Steps:
    """Times the steps, and writes the state after each."""

    def __init__(self, output: Path, state: RoundState) -> None:
        self._output, self.state = output, state

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        _LOG.info("%s ...", name)
        started = time.monotonic()
        yield
        spent = time.monotonic() - started
        _LOG.info("%s: %.0f s", name, spent)
        # Going on with a finished round takes moments: those are not what the step took.
        seconds = max(spent, self.state.seconds.get(name, 0.0))
        self.note(seconds={**self.state.seconds, name: round(seconds, 1)})

    def note(self, **changes: object) -> None:
        self.state = save_state(self._output, self.state.replace(**changes))


def _register(
    config: RoundConfig, run: Run, steps: _Steps, candidate: Path, verdict: Verdict
) -> str:
    version = steps.state.version
    if version is None:
        version = register_step(config, run, candidate)
        steps.note(version=version)
    if verdict.passed and not steps.state.promoted:
        promote(run.tracking_uri, config.registered_model, version)
    steps.note(promoted=verdict.passed)
    decision = "is the champion now" if verdict.passed else "did not pass the gate"
    _LOG.info("%s version %s %s: %s", config.registered_model, version, decision, verdict.reason)
    return version


def _record(
    run: Run, summary: GenerateSummary, errors: Errors, rows: list[BandRow], report: Path
) -> None:
    metrics = {
        f"nme_icp/{name}/{row.band.replace(' ', '_')}": cell.mean
        for row in rows
        for name, cell in zip(errors, row.cells, strict=True)
    }
    counts = {"faces": summary.num_faces, "views": summary.num_views}
    run.log_metrics({**metrics, **counts, "rejects": sum(summary.rejects.values())})
    run.log_file(report)
