"""One bootstrap round: generate, fine-tune, evaluate, check drift, gate, register, report.

The same call again resumes where the last one stopped: every step stores its result in the
output folder, and ``round.json`` records which steps are done.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from rayboot import __version__
from rayboot.cluster.session import connect
from rayboot.data.manifest import require_finished
from rayboot.errors import ConflictError, RequestError
from rayboot.evaluate.metrics.bands import BandRow, tabulate_bands
from rayboot.evaluate.results import FaceError
from rayboot.evaluate.run import Evaluation, record_evaluation
from rayboot.io.absolute_paths import absolute_model, with_absolute_paths
from rayboot.io.storage import join_uri, require_writable
from rayboot.logs import logged_run
from rayboot.pipeline.generate import generate
from rayboot.pipeline.generate_request import GeneratePlan
from rayboot.pipeline.generate_summary import GenerateSummary
from rayboot.pipeline.listing import require_other_folder
from rayboot.pipeline.outcome import require_faces
from rayboot.registry.promotion import champion_version, promote, record_refusal
from rayboot.registry.resolve import ResolvedModel, resolve_model
from rayboot.registry.runs import Run, open_run, resume_run
from rayboot.rounds.drift import detect_drift
from rayboot.rounds.gate import GateDecision, decide_promotion
from rayboot.rounds.provenance import version_tags
from rayboot.rounds.round_config import RoundConfig
from rayboot.rounds.round_page import write_page
from rayboot.rounds.round_state import RoundState, load_state, save_state
from rayboot.rounds.steps import (
    AFTER,
    BEFORE,
    CHAMPION,
    FIRST_TEACHER,
    StatisticsByModel,
    evaluate_models,
    finetune_candidate,
    measure_shape_statistics,
    pairs_config,
    plan_evaluation,
    plan_pairs,
    register_candidate,
)
from rayboot.rounds.view_angles import choose_yaw_steps

__all__ = ["RoundPlan", "RoundResult", "prepare_round", "run_prepared_round", "run_round"]

_LOG = logging.getLogger(__name__)


class RoundResult(NamedTuple):
    """Results of a round.

    Attributes:
        report: path of the report page.
        tracking_uri: URI of the MLflow store with the run and the registered model.
        errors: errors on the first data set by model: first the network to improve, last the
            candidate.
        rows: ICP NME in % by band of |yaw|, one cell per model.
        summary: counts of the pairs data set.
        version: version of the registered candidate.
        promoted: whether the candidate is the champion.
        reason: reason why it was promoted or was not.
        seconds: duration by step.
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


class RoundPlan(NamedTuple):
    """A checked request.

    Attributes:
        config: config of the round, with absolute folders and an explicit store.
        model: network to improve.
        steps_deg: yaw steps that were chosen; empty where the config gives its own.
        pairs: request for the pairs data set.
        state: state of the round that is resumed; None for a new one.
    """

    config: RoundConfig
    model: ResolvedModel
    steps_deg: tuple[float, ...]
    pairs: GeneratePlan
    state: RoundState | None


def prepare_round(config: RoundConfig) -> RoundPlan:
    """Checks a request; needs no Ray. A request that is refused leaves nothing behind.

    Raises:
        RequestError: photos, evaluation faces or model are missing, or the output cannot be
            written or contains another round.
    """
    # As they are written: a link among the photos is one of their folders.
    require_other_folder(config.photos, config.output)
    config = config.with_absolute_paths()
    output, tracking_uri = Path(config.output), config.tracking_uri
    assert tracking_uri is not None
    require_writable(config.output)
    require_writable(config.training_uri)
    for faces in with_absolute_paths(config.evaluation).datasets.values():
        faces.list_faces()
    state = load_state(output, _digest(config))
    model = resolve_model(state.model if state else absolute_model(config.model), tracking_uri)
    _require_comparable(config, model)
    steps_deg = state.yaw_steps_deg if state else _choose_yaw_steps(config, model)
    is_generated = state is not None and "generate" in state.seconds
    pairs = plan_pairs(config, model, steps_deg, follow=not is_generated)
    return RoundPlan(config, model, steps_deg, pairs, state)


def run_round(config: RoundConfig) -> RoundResult:
    """Runs a round, or finishes what remains of it; see :func:`run_prepared_round`.

    Raises:
        RequestError: see :func:`prepare_round`; raised before Ray starts.
    """
    return run_prepared_round(prepare_round(config))


def run_prepared_round(plan: RoundPlan) -> RoundResult:
    """Runs a round, or finishes what remains of it.

    Raises:
        RequestError: the store does not contain the run of a round that is resumed.
    """
    config, model = plan.config, plan.model
    output, tracking_uri = Path(config.output), config.tracking_uri
    assert tracking_uri is not None
    run, state = _open_or_resume_run(config, model, plan.steps_deg, plan.state)
    steps = _StepRecorder(output, state)
    with run.closing(), logged_run(run.run_id), connect(num_cpus=config.num_cpus):
        with steps.timed("generate"):
            summary = generate(plan.pairs)
            rejects = join_uri(summary.uri, "outcome=reject")
            require_faces(summary.num_faces, summary.rejects, rejects)
            # What the candidate is trained on stays told, even if the data set is changed later.
            manifest = require_finished(config.pairs_uri, steps.state.manifest).digest()
            steps.update(manifest=manifest)
        with steps.timed("finetune"):
            candidate = finetune_candidate(config, model, run, manifest)
        with steps.timed("evaluate"):
            evaluation = plan_evaluation(config, model, _champion_uri(config, state), candidate)
            measured = evaluate_models(evaluation)
        with steps.timed("drift"):
            statistics = measure_shape_statistics(config, model, candidate, manifest)
        decision = _decide(config, measured, statistics)
        with steps.timed("register"):
            _register(config, run, steps, candidate, measured, decision)
        with steps.timed("report"):
            report, files = write_page(
                config, steps.state, evaluation, measured, summary, statistics
            )
        _log_metrics(run, summary, statistics)
        record_evaluation(run, measured, evaluation, files)
    errors = measured.results.errors()
    rows = tabulate_bands(errors, config.evaluation.bands)
    final = steps.state
    assert final.version is not None and final.reason is not None
    return RoundResult(
        report=report,
        tracking_uri=tracking_uri,
        errors=errors,
        rows=rows,
        summary=summary,
        version=final.version,
        promoted=bool(final.promoted),
        reason=final.reason,
        seconds=final.seconds,
    )


def _require_comparable(config: RoundConfig, model: ResolvedModel) -> None:
    """Refuses a champion whose crop size differs from the model's, before hours of training.

    Raises:
        RequestError: the two networks cannot be evaluated on the same crops.
    """
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
            "of this size"
        )


def _choose_yaw_steps(config: RoundConfig, model: ResolvedModel) -> tuple[float, ...]:
    """Returns yaw steps where the config asks to choose them; empty where it gives its own."""
    if config.angles is None:
        return ()
    steps_deg = choose_yaw_steps(pairs_config(config, model), config.angles)
    _LOG.info("yaw steps: %s degrees", ", ".join(f"{step:g}" for step in steps_deg))
    return steps_deg


def _open_or_resume_run(
    config: RoundConfig,
    model: ResolvedModel,
    steps_deg: tuple[float, ...],
    state: RoundState | None,
) -> tuple[Run, RoundState]:
    """Opens or resumes the round's MLflow run; returns it with the state of the round."""
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


def _decide(
    config: RoundConfig, measured: Evaluation, statistics: StatisticsByModel
) -> GateDecision:
    """Returns the gate's decision; a candidate whose shapes drift never passes."""
    errors = measured.results.errors()
    champion = errors.get(CHAMPION, errors[BEFORE])
    decision = decide_promotion(champion, errors[AFTER], config.gate)
    drift = detect_drift(statistics[FIRST_TEACHER].photos, statistics[AFTER], config.drift)
    if not drift:
        return decision
    return decision._replace(passed=False, reason=f"shapes drift: {drift}; {decision.reason}")


def _digest(config: RoundConfig) -> str:
    # Locations, the tracking store and the number of CPUs do not change a round's result.
    return config.replace(output="", storage=None, tracking_uri=None, num_cpus=None).digest()


class _StepRecorder:
    """Measures the duration of each step, and stores the round's state around it."""

    def __init__(self, output: Path, state: RoundState) -> None:
        self._output, self.state = output, state

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Records the step ``name`` as running, and its duration once the block is done."""
        _LOG.info("%s ...", name, extra={"step": name})
        self.update(under_way=name)
        started = time.monotonic()
        yield
        spent = time.monotonic() - started
        _LOG.info("%s: %.0f s", name, spent, extra={"step": name, "seconds": round(spent, 1)})
        # A step that was done already returns within moments; its real duration is kept.
        seconds = max(spent, self.state.seconds.get(name, 0.0))
        self.update(under_way=None, seconds={**self.state.seconds, name: round(seconds, 1)})

    def update(self, **changes: object) -> None:
        """Changes fields of the state and stores it."""
        self.state = save_state(self._output, self.state.replace(**changes))


def _register(
    config: RoundConfig,
    run: Run,
    steps: _StepRecorder,
    candidate: Path,
    measured: Evaluation,
    decision: GateDecision,
) -> None:
    """Registers the candidate and promotes it if it passed; skips what was done before."""
    if steps.state.version is None:
        tags = version_tags(config, steps.state, candidate)
        steps.update(version=register_candidate(config, run, candidate, measured, tags))
    version = steps.state.version
    assert version is not None
    if steps.state.promoted is None:
        promoted, reason = decision.passed, decision.reason
        if promoted:
            try:
                promote(run.tracking_uri, config.registered_model, version, steps.state.champion)
            except ConflictError as error:
                promoted, reason = False, str(error)
        if not promoted:
            record_refusal(run.tracking_uri, config.registered_model, version, reason)
        steps.update(promoted=promoted, reason=reason)
    outcome = "is the champion now" if steps.state.promoted else "was not promoted"
    _LOG.info("%s version %s %s: %s", config.registered_model, version, outcome, steps.state.reason)


def _log_metrics(run: Run, summary: GenerateSummary, statistics: StatisticsByModel) -> None:
    metrics = {
        f"shapes/{name.replace(' ', '_')}/{kind}/{key}": value
        for name, shapes in statistics.items()
        for kind, part in shapes.by_kind().items()
        for key, value in part._asdict().items()
    }
    counts = {"faces": summary.num_faces, "views": summary.num_views}
    run.log_metrics({**metrics, **counts, "rejects": sum(summary.rejects.values())})
