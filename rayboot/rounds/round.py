"""One bootstrap round: generate, fine-tune, evaluate, watch for drift, gate, register, report.

The same call again goes on where the last one stopped: every step keeps its
result under the output folder, and ``round.json`` notes what is done.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from rayboot import __version__
from rayboot.cluster.session import connect
from rayboot.errors import ConflictError, RequestError
from rayboot.evaluate.measure import Measurements
from rayboot.evaluate.report.html_page import BandRow, tabulate_bands
from rayboot.evaluate.results import FaceError
from rayboot.evaluate.run import record_evaluation
from rayboot.io.storage import require_writable
from rayboot.logs import logged_run
from rayboot.pipeline.generate import generate
from rayboot.pipeline.generate_summary import GenerateSummary
from rayboot.registry.promotion import champion_version, promote
from rayboot.registry.resolve import ResolvedModel, resolve_model
from rayboot.registry.runs import Run, open_run, resume_run
from rayboot.rounds.drift import detect_drift
from rayboot.rounds.gate import GateDecision, judge
from rayboot.rounds.provenance import version_tags
from rayboot.rounds.round_config import RoundConfig
from rayboot.rounds.round_page import write_page
from rayboot.rounds.round_state import RoundState, load_state, save_state
from rayboot.rounds.steps import (
    AFTER,
    BEFORE,
    CHAMPION,
    FIRST,
    Shapes,
    drift_step,
    evaluate_step,
    finetune_step,
    pairs_request,
    plan_evaluation,
    plan_pairs,
    register_step,
)
from rayboot.rounds.view_angles import choose_steps

__all__ = ["RoundResult", "run_round"]

_LOG = logging.getLogger(__name__)


class RoundResult(NamedTuple):
    """What a round came to.

    Attributes:
        report: the page.
        tracking_uri: of the MLflow store that has the run and the model.
        errors: on the first set of faces by model, first the one to improve, last the candidate.
        rows: ICP NME in % by band of |yaw|, a cell a model.
        summary: of the pairs data set.
        version: of the registered candidate.
        promoted: whether it is the champion.
        reason: why, or why not.
        seconds: of each step.
    """

    report: Path
    tracking_uri: str
    errors: dict[str, list[FaceError]]
    rows: list[BandRow]
    summary: GenerateSummary
    version: str
    promoted: bool
    reason: str
    seconds: dict[str, float]


def run_round(config: RoundConfig) -> RoundResult:
    """Runs a round, or what is left of it.

    Raises:
        RequestError: photos, evaluation faces or model are missing, or the output
            cannot be written or holds another round; before Ray starts.
    """
    config = config.with_absolute_paths()
    output, tracking_uri = Path(config.output), config.tracking_uri
    assert tracking_uri is not None
    require_writable(config.output)
    require_writable(config.training_uri)
    for faces in config.evaluation.datasets.values():
        faces.list_faces()
    state = load_state(output, _digest(config))
    model = resolve_model(state.model if state else config.model, tracking_uri)
    _require_comparable(config, model)
    steps_deg = state.yaw_steps_deg if state else _choose_angles(config, model)
    plan = plan_pairs(config, model, steps_deg)
    run, state = _begin(config, model, steps_deg, state)
    steps = _Steps(output, state)
    with run.closing(), logged_run(run.run_id), connect(num_cpus=config.num_cpus):
        with steps.timed("generate"):
            summary = generate(plan)
        with steps.timed("finetune"):
            candidate = finetune_step(config, model, run)
        with steps.timed("evaluate"):
            evaluation = plan_evaluation(config, model, _champion_uri(config, state), candidate)
            measured = evaluate_step(evaluation)
        with steps.timed("drift"):
            shapes = drift_step(config, model, candidate)
        verdict = _judge(config, measured, shapes)
        with steps.timed("register"):
            _register(config, run, steps, candidate, measured, verdict)
        with steps.timed("report"):
            report, files = write_page(config, steps.state, evaluation, measured, summary, shapes)
        _record(run, summary, shapes)
        record_evaluation(run, measured, evaluation, files)
    errors = measured.results.errors()
    rows = tabulate_bands(errors, config.evaluation.bands)
    done = steps.state
    assert done.version is not None and done.reason is not None
    return RoundResult(
        report, tracking_uri, errors, rows, summary, done.version, bool(done.promoted),
        done.reason, done.seconds,
    )  # fmt: skip


def _require_comparable(config: RoundConfig, model: ResolvedModel) -> None:
    """Refuses a champion that cannot be measured on the same crops, before hours of training."""
    assert config.tracking_uri is not None
    name = config.registered_model
    champion = champion_version(config.tracking_uri, name)
    if champion is None:
        return
    size = model.config.resolution
    champion_size = resolve_model(
        f"models:/{name}/{champion}", config.tracking_uri
    ).config.resolution
    if size != champion_size:
        raise RequestError(
            f"model {model.uri} takes crops of {size} px, but the champion of {name}, version "
            f"{champion}, takes {champion_size} px; choose another registered_model for networks "
            "of another size"
        )


def _choose_angles(config: RoundConfig, model: ResolvedModel) -> tuple[float, ...]:
    if config.angles is None:
        return ()
    steps_deg = choose_steps(pairs_request(config, model), config.angles)
    _LOG.info("turns in yaw: %s degrees", ", ".join(f"{step:g}" for step in steps_deg))
    return steps_deg


def _begin(
    config: RoundConfig,
    model: ResolvedModel,
    steps_deg: tuple[float, ...],
    state: RoundState | None,
) -> tuple[Run, RoundState]:
    """The round's MLflow run, opened or gone on with, and its state."""
    output, tracking_uri = Path(config.output), config.tracking_uri
    assert tracking_uri is not None
    if state is not None:
        return resume_run(tracking_uri, state.run_id), state
    artifacts = (output / "mlruns").as_uri() if tracking_uri.startswith("sqlite:") else None
    run = open_run(tracking_uri, config.experiment, output.name, artifacts)
    run.log_params({"round": config.model_dump(mode="json", exclude={"output", "storage"})})
    run.set_tags({"rayboot.config_digest": _digest(config), "rayboot.version": __version__})
    champion = champion_version(tracking_uri, config.registered_model)
    state = RoundState(
        config_digest=_digest(config),
        model=model.uri,
        run_id=run.run_id,
        yaw_steps_deg=steps_deg,
        champion=champion,
    )
    return run, save_state(output, state)


def _champion_uri(config: RoundConfig, state: RoundState) -> str | None:
    return state.champion and f"models:/{config.registered_model}/{state.champion}"


def _judge(config: RoundConfig, measured: Measurements, shapes: Shapes) -> GateDecision:
    """The gate's answer; drift refuses whatever the errors say."""
    errors = measured.results.errors()
    verdict = judge(errors.get(CHAMPION, errors[BEFORE]), errors[AFTER], config.gate)
    drift = detect_drift(shapes[FIRST], shapes[AFTER], config.drift)
    if not drift:
        return verdict
    return verdict._replace(passed=False, reason=f"shapes drift: {drift}; {verdict.reason}")


def _digest(config: RoundConfig) -> str:
    # Where it is written and who watches do not change what a round is.
    return config.replace(output="", storage=None, tracking_uri=None, num_cpus=None).digest()


class _Steps:
    """Times the steps, and writes the state after each."""

    def __init__(self, output: Path, state: RoundState) -> None:
        self._output, self.state = output, state

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        _LOG.info("%s ...", name, extra={"step": name})
        self.note(under_way=name)
        started = time.monotonic()
        yield
        spent = time.monotonic() - started
        _LOG.info("%s: %.0f s", name, spent, extra={"step": name, "seconds": round(spent, 1)})
        # Going on with a finished round takes moments: those are not what the step took.
        seconds = max(spent, self.state.seconds.get(name, 0.0))
        self.note(under_way=None, seconds={**self.state.seconds, name: round(seconds, 1)})

    def note(self, **changes: object) -> None:
        self.state = save_state(self._output, self.state.replace(**changes))


def _register(
    config: RoundConfig,
    run: Run,
    steps: _Steps,
    candidate: Path,
    measured: Measurements,
    verdict: GateDecision,
) -> None:
    """Registers the candidate and, if it passed, makes it the champion; each once."""
    if steps.state.version is None:
        tags = version_tags(config, steps.state, candidate)
        steps.note(version=register_step(config, run, candidate, measured, tags))
    version = steps.state.version
    assert version is not None
    if steps.state.promoted is None:
        promoted, reason = verdict.passed, verdict.reason
        if promoted:
            try:
                promote(run.tracking_uri, config.registered_model, version, steps.state.champion)
            except ConflictError as error:
                promoted, reason = False, str(error)
        steps.note(promoted=promoted, reason=reason)
    decision = "is the champion now" if steps.state.promoted else "was not promoted"
    _LOG.info(
        "%s version %s %s: %s", config.registered_model, version, decision, steps.state.reason
    )


def _record(run: Run, summary: GenerateSummary, shapes: Shapes) -> None:
    metrics = {
        f"shapes/{name.replace(' ', '_')}/{key}": value
        for name, found in shapes.items()
        for key, value in found._asdict().items()
    }
    counts = {"faces": summary.num_faces, "views": summary.num_views}
    run.log_metrics({**metrics, **counts, "rejects": sum(summary.rejects.values())})
