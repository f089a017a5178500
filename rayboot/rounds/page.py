"""A round's ``report.html``: what it did, in one file."""

from pathlib import Path

import rayboot
from rayboot.data.images import encode_image
from rayboot.data.storage import write_bytes
from rayboot.evaluate.examples import draw_examples
from rayboot.evaluate.plots import plot_nme_against_yaw
from rayboot.evaluate.report import Figure, RejectCount, tabulate_both, write_report
from rayboot.evaluate.shapes import ShapeStatistics
from rayboot.pipeline.preview import pairs_sheet
from rayboot.pipeline.summary import GenerateSummary
from rayboot.registry.models import resolve_weights
from rayboot.rounds.config import RoundConfig
from rayboot.rounds.state import RoundState
from rayboot.rounds.steps import AFTER, BEFORE, Errors, Shapes

__all__ = ["CONTACT_SHEET", "write_page"]

CONTACT_SHEET = "contact-sheet.jpg"


def write_page(
    config: RoundConfig,
    state: RoundState,
    candidate: Path,
    summary: GenerateSummary,
    errors: Errors,
    shapes: Shapes,
) -> Path:
    """Writes ``output/report.html``, with the contact sheet beside it; returns its path."""
    sheet = encode_image(pairs_sheet(summary.uri), "jpeg")
    write_bytes(str(Path(config.output) / CONTACT_SHEET), sheet)
    weights = {BEFORE: resolve_weights(state.model, config.tracking_uri), AFTER: candidate}
    figures = [
        Figure(
            "Error against yaw",
            "Shaded: the 95 % interval over faces.",
            plot_nme_against_yaw(errors),
        ),
        Figure(
            "Source photos and their views",
            "First the photo as the network sees it, then the renders of the reconstructed "
            "shape, turned away from the camera and cropped again.",
            sheet,
        ),
        Figure(
            "Shapes before and after",
            "Faces of the evaluation set from frontal to profile, as the camera sees them and "
            "turned back to the front.",
            draw_examples(weights, config.evaluation),
        ),
    ]
    decision = "is the champion" if state.promoted else "was not promoted"
    return write_report(
        Path(config.output) / "report.html",
        title="One bootstrap round",
        summary=(
            f"{summary.num_faces} photographs became {summary.num_views} pairs; the network "
            f"fine-tuned on them is version {state.version} of {config.registered_model} and "
            f"{decision}: {state.reason}."
        ),
        columns=list(errors),
        tables=tabulate_both(errors, config.evaluation.bands),
        figures=figures,
        rejects=[RejectCount(*key, count) for key, count in sorted(summary.rejects.items())],
        facts=_facts(config, state, summary, shapes),
    )


def _facts(
    config: RoundConfig, state: RoundState, summary: GenerateSummary, shapes: Shapes
) -> dict[str, str]:
    optimizer = config.finetune.optimizer
    photos = config.photos
    turns = state.yaw_steps_deg or config.generate.views.yaw_steps()
    return {
        "photographs": photos if isinstance(photos, str) else ", ".join(photos),
        "evaluated on": config.evaluation.data,
        "network before": state.model,
        "turns in yaw": ", ".join(f"±{step:g}°" for step in turns),
        "views left out": f"{summary.num_left_out} that would leave the volume",
        "training": f"{optimizer.num_epochs} epochs, batch {optimizer.batch_size}, rate "
        f"{optimizer.learning_rate:g}, halved every {optimizer.halve_every}; "
        f"{config.finetune.source_share:.0%} unrotated photos",
        **{f"shapes of the {name} network": _described(found) for name, found in shapes.items()},
        "time": ", ".join(f"{name} {spent:.0f} s" for name, spent in state.seconds.items()),
        "MLflow": f"{config.tracking_uri}, run {state.run_id}",
        "config": state.config_digest[:12],
        "rayboot": rayboot.__version__,
    }


def _described(shapes: ShapeStatistics) -> str:
    return (
        f"spread {shapes.spread:.4f}, overlap with the mirror image's {shapes.mirror:.3f}, "
        f"{shapes.volume:.1%} of the volume ({shapes.num_shapes} photos)"
    )
