"""Consecutive rounds of the demo, whatever the gate decides, compared with the original network.

python benchmarks/demo_rounds.py --out runs/demo-rounds --rounds 3
python benchmarks/demo_rounds.py --out runs/demo-rounds-head --model builtin:head

``rayboot round --rounds`` ends with the first round that does not help; here the candidate teaches
the next round in any case, to measure what that round gains. The same command resumes.
"""

import json
from pathlib import Path

import click

from rayboot.evaluate.metrics.bands import format_bands, tabulate_bands
from rayboot.evaluate.results import FaceError
from rayboot.rounds.demo import demo_config, synthesize_demo_faces
from rayboot.rounds.round import RoundResult, run_round
from rayboot.rounds.round_config import RoundConfig
from rayboot.rounds.steps import AFTER, BEFORE

ORIGINAL = "original"


@click.command()
@click.option("--out", type=click.Path(path_type=Path), default=Path("runs/demo-rounds"))
@click.option("--model", default="builtin:compact", show_default=True)
@click.option("--rounds", "num_rounds", default=3, show_default=True)
@click.option("--seed", default=0, show_default=True)
def main(out: Path, model: str, num_rounds: int, seed: int) -> None:
    """Runs the rounds; prints a table and writes ``OUT/rounds.json``."""
    config = demo_config(seed)
    out = out.resolve()
    synthesize_demo_faces(out, config)
    first = config.round_config(out)
    teacher, records = model, list[dict[str, object]]()
    errors: dict[str, list[FaceError]] = {}
    for number in range(1, num_rounds + 1):
        request = first.replace(
            output=str(out / f"round-{number}"),
            tracking_uri=f"sqlite:///{out / 'mlflow.db'}",
            model=teacher,
            first_teacher=model,
            generate=first.generate.replace(round_index=number - 1),
        )
        result = run_round(request)
        errors.setdefault(ORIGINAL, result.errors[BEFORE])
        errors[f"round {number}"] = result.errors[AFTER]
        records.append(_record(request, result, number))
        teacher = str(Path(request.output) / "candidate.safetensors")
    bands = first.evaluation.bands
    click.echo(format_bands(tabulate_bands(errors, bands), list(errors)))
    for name in errors:
        if name != ORIGINAL:
            click.echo(f"{name} compared with the {ORIGINAL}")
            pair = {ORIGINAL: errors[ORIGINAL], name: errors[name]}
            click.echo(format_bands(tabulate_bands(pair, bands), list(pair)))
    (out / "rounds.json").write_text(json.dumps(records, indent=1) + "\n")
    for record in records:
        click.echo(json.dumps(record))


def _record(request: RoundConfig, result: RoundResult, number: int) -> dict[str, object]:
    shapes = json.loads((Path(request.output) / "drift.json").read_text("utf-8"))
    return {
        "round": number,
        "faces": result.summary.num_faces,
        "views": result.summary.num_views,
        "would_be_promoted": result.reason,
        "shapes": shapes,
        "seconds": result.seconds,
    }


if __name__ == "__main__":
    main()
