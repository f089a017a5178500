"""The three variants of the paper's Table 1 on made faces: ``python jobs/table1.py``.

Small yaw; small and middle; small, middle and large: one round each from the same
photos and the same network, measured together over all yaws up to 90 degrees alike.
"""

from pathlib import Path

import click

from rayboot.cluster import connect
from rayboot.data.storage import exists, join_uri
from rayboot.evaluate.config import EvaluateConfig
from rayboot.evaluate.experiment import evaluate, prepare_evaluation
from rayboot.evaluate.report import format_bands, tabulate_bands
from rayboot.rounds.demo import demo_config
from rayboot.rounds.round import run_round
from rayboot.synthesis import SynthesisConfig, synthesize

VARIANTS = ("small", "middle", "large")
BANDS = ((0, 90), (0, 15), (15, 30), (30, 45), (45, 60), (60, 75), (75, 90))
ALL_YAWS = {"kind": "uniform", "max_deg": 90}


@click.command()
@click.option("--out", type=click.Path(path_type=Path), default=Path("runs/table1"))
@click.option("--seed", type=int, default=0, help="Moves every seed.")
def main(out: Path, seed: int) -> None:
    """Runs the variants and writes ``OUT/report.html``."""
    config = demo_config(seed)
    test_photos = SynthesisConfig(**{**config.test_photos.model_dump(), "yaw": ALL_YAWS})
    config = config.replace(test_photos=test_photos)
    for name, faces in (("photos", config.photos), ("test-photos", config.test_photos)):
        if not exists(join_uri(str(out / name), "truth/topology.npz")):
            synthesize(faces, str(out / name))
    models = {"original": "builtin:compact"}
    for variant in VARIANTS:
        views = config.generate.views.replace(preset=variant)
        request = config.round_config(out).replace(
            output=str(out / variant), generate=config.generate.replace(views=views)
        )
        run_round(request)
        models[variant] = str(out / variant / "candidate.safetensors")
    sets = config.round_config(out).evaluation.sets
    plan = prepare_evaluation(
        EvaluateConfig(sets=sets, models=models, output=str(out), bands=BANDS)
    )
    with connect():
        result = evaluate(plan)
    rows = tabulate_bands(result.measured.results.errors(), BANDS)
    click.echo(format_bands(rows, list(models)))
    click.echo(result.report)


if __name__ == "__main__":
    main()
