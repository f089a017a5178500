"""A round's ``report.html``: its results as one self-contained file."""

from pathlib import Path

from rayboot.counts import describe_count
from rayboot.data.images import encode_image
from rayboot.evaluate.metrics.shape_statistics import ShapeStatistics
from rayboot.evaluate.report.html_page import RejectCount, ReportFigure
from rayboot.evaluate.report.outputs import PageContext, ReportInput, write_outputs
from rayboot.evaluate.run import Evaluation, EvaluationPlan
from rayboot.io.storage import write_bytes
from rayboot.pipeline.generate_summary import GenerateSummary
from rayboot.pipeline.preview import pairs_sheet
from rayboot.rounds.round_config import RoundConfig
from rayboot.rounds.round_state import RoundState
from rayboot.rounds.steps import StatisticsByModel

__all__ = ["CONTACT_SHEET", "write_page"]

CONTACT_SHEET = "contact-sheet.jpg"


def write_page(
    config: RoundConfig,
    state: RoundState,
    plan: EvaluationPlan,
    measured: Evaluation,
    summary: GenerateSummary,
    statistics: StatisticsByModel,
) -> tuple[Path, list[Path]]:
    """Writes ``output/report.html``, the contact sheet and the evaluation's files.

    Args:
        config: config of the round, with absolute paths.
        state: state of the round, after the candidate was registered.
        plan: the evaluation's checked request.
        measured: the evaluation's measurements.
        summary: counts of the pairs data set.
        statistics: shape statistics by the name of the network.

    Returns:
        The page, and all files including the page.
    """
    output = Path(config.output)
    sheet = encode_image(pairs_sheet(summary.uri), "jpeg")
    write_bytes(str(output / CONTACT_SHEET), sheet)
    decision = "is the champion" if state.promoted else "was not promoted"
    context = PageContext(
        title="One bootstrap round",
        summary=(
            f"{describe_count(summary.num_faces, 'photo')} became "
            f"{describe_count(summary.num_views, 'pair')}; the network "
            f"fine-tuned on them is version {state.version} of {config.registered_model} and "
            f"{decision}: {state.reason}."
        ),
        figures=[
            ReportFigure(
                "Source photos and their views",
                "First the crop as the network receives it, then the renders of the reconstructed "
                "shape, rotated away from the camera and cropped again.",
                sheet,
            )
        ],
        rejects=[RejectCount(*key, count) for key, count in sorted(summary.rejects.items())],
        facts=_page_facts(config, state, summary, statistics),
    )
    report_input = ReportInput(plan.config, plan.models, plan.weights, *measured)
    page, files = write_outputs(report_input, plan.output, context, output / "report.html")
    return page, [output / CONTACT_SHEET, *files]


def _page_facts(
    config: RoundConfig,
    state: RoundState,
    summary: GenerateSummary,
    statistics: StatisticsByModel,
) -> dict[str, str]:
    optimizer = config.finetune.optimizer
    photos = config.photos
    yaw_steps_deg = state.yaw_steps_deg or config.generate.views.yaw_steps()
    return {
        "photos": photos if isinstance(photos, str) else ", ".join(photos),
        "yaw steps": ", ".join(f"±{step:g}°" for step in yaw_steps_deg),
        "views left out": f"{summary.num_views_left_out} that would leave the volume",
        "training": f"{optimizer.num_epochs} epochs, batch {optimizer.batch_size}, learning rate "
        f"{optimizer.learning_rate:g}, halved every {optimizer.lr_halving_epochs} epochs; "
        f"{config.finetune.source_fraction:.0%} unrotated photos",
        **{
            f"shapes of the {name} network on {kind}": _describe_statistics(part)
            for name, shapes in statistics.items()
            for kind, part in shapes.by_kind().items()
        },
        "time": ", ".join(f"{name} {spent:.0f} s" for name, spent in state.seconds.items()),
        "MLflow": f"{config.tracking_uri}, run {state.run_id}",
        "config": state.config_digest[:12],
    }


def _describe_statistics(shapes: ShapeStatistics) -> str:
    return (
        f"spread {shapes.spread:.4f}, overlap with the mirror image's shape {shapes.mirror:.3f}, "
        f"{shapes.volume:.1%} of the volume ({shapes.num_shapes} faces)"
    )
