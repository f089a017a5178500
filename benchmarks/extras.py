"""Effect of each option of fine-tuning that the paper does not have, on the demo's faces.

python benchmarks/extras.py --out runs/extras --seed 100
python benchmarks/extras.py --only "distillation 1" --only averaged

All variants are trained on the same pairs (``angles`` on its own); the seed is not one of those
reported for the demo. The same command resumes.
"""

from pathlib import Path
from typing import Any

import click

from rayboot.cluster.session import connect
from rayboot.evaluate.evaluation_config import EvaluateConfig
from rayboot.evaluate.metrics.bands import tabulate_bands
from rayboot.evaluate.metrics.statistics import Interval
from rayboot.evaluate.results import FaceError
from rayboot.evaluate.run import measure, prepare_evaluation
from rayboot.pipeline.generate import generate
from rayboot.pipeline.generate_request import prepare_generate
from rayboot.rounds.demo import DemoConfig, demo_config, synthesize_demo_faces
from rayboot.rounds.view_angles import AnglesConfig, choose_yaw_steps
from rayboot.train.finetune import finetune
from rayboot.train.training_config import FinetuneConfig

MODEL, ORIGINAL = "builtin:compact", "original"

# Changes to the demo's settings, which include a quarter of unrotated photos, distilled.
VARIANTS: dict[str, dict[str, Any]] = {
    "demo": {},
    "no unrotated photos": {"source_fraction": 0.0},
    "distillation 1": {"distillation": 1.0},
    "distillation 4": {"distillation": 4.0},
    "distillation 16": {"distillation": 16.0},
    "no distillation": {"distillation": 0.0},
    "low rate, frozen statistics": {
        "optimizer": {"learning_rate": 2e-4, "freeze_batch_norm": True}
    },
    "averaged": {"optimizer": {"ema_decay": 0.98}},
    "leave out 10 %": {"discard_fraction": 0.1},
    "weighted by agreement": {"agreement_power": 2.0},
    "augmented": {
        "augment": {
            "color_jitter": 0.2,
            "light": 0.4,
            "blur": 0.01,
            "noise": 0.05,
            "occlusion": 0.25,
        }
    },
    "angles": {},
}


@click.command()
@click.option("--out", type=click.Path(path_type=Path), default=Path("runs/extras"))
@click.option("--seed", default=100, show_default=True)
@click.option("--only", multiple=True, type=click.Choice(list(VARIANTS)), help="Variants to run.")
def main(out: Path, seed: int, only: tuple[str, ...]) -> None:
    """Prints one row per variant: change of the error by band of |yaw|."""
    config = demo_config(seed)
    out = out.resolve()
    synthesize_demo_faces(out, config)
    bands = config.round_config(out).evaluation.bands
    click.echo("| variant | " + " | ".join(f"{low:g} to {high:g}" for low, high in bands) + " |")
    click.echo("|---" * (len(bands) + 1) + "|")
    for name in only or VARIANTS:
        folder = out / name.replace(" ", "-").replace("%", "percent")
        errors = {
            ORIGINAL: _evaluate_original(out, config),
            name: _evaluate_variant(out, folder, name, config),
        }
        rows = tabulate_bands(errors, bands)
        click.echo(f"| {name} | " + " | ".join(_format_change(row.change) for row in rows) + " |")


def _format_change(change: Interval) -> str:
    return f"{change.mean:+.1f} [{change.low:+.1f}, {change.high:+.1f}]"


def _evaluate_original(out: Path, config: DemoConfig) -> list[FaceError]:
    return _evaluate(out / "original", out, config, MODEL)


def _evaluate_variant(out: Path, folder: Path, name: str, config: DemoConfig) -> list[FaceError]:
    folder.mkdir(exist_ok=True)
    weights = folder / "candidate.safetensors"
    if not weights.exists():
        data = _generate_pairs(out, name, config)
        settings = FinetuneConfig(
            data=data,
            model=MODEL,
            storage=str(folder),
            **_finetune_settings(config, VARIANTS[name]),
        )
        with connect():
            weights.write_bytes(finetune(settings).weights)
    return _evaluate(folder / "evaluation", out, config, str(weights))


def _finetune_settings(config: DemoConfig, changes: dict[str, Any]) -> dict[str, Any]:
    values = config.finetune.model_dump()
    optimizer = {**values["optimizer"], **changes.get("optimizer", {})}
    optimizer["augment"] = {**optimizer["augment"], **changes.get("augment", {})}
    others = {key: value for key, value in changes.items() if key not in ("optimizer", "augment")}
    return {**values, **others, "optimizer": optimizer}


def _generate_pairs(out: Path, name: str, config: DemoConfig) -> str:
    request = config.generate.replace(input=str(out / "photos"), model=MODEL)
    target = out / "pairs"
    if name == "angles":
        target = out / "pairs-angles"
        steps = choose_yaw_steps(request, AnglesConfig())
        click.echo(f"angles: {steps}", err=True)
        views = request.views.replace(preset=None, yaw_steps_deg=steps)
        request = request.replace(views=views)
    plan = prepare_generate(request.replace(output=str(target)))
    with connect():
        generate(plan)
    return str(target)


def _evaluate(folder: Path, out: Path, config: DemoConfig, model: str) -> list[FaceError]:
    faces = config.round_config(out).evaluation.model_dump()
    request = EvaluateConfig(**faces, models={"model": model}, output=str(folder))
    plan = prepare_evaluation(request)
    with connect():
        return measure(plan).results.errors()["model"]


if __name__ == "__main__":
    main()
