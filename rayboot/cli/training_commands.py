"""Commands that train and evaluate networks."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from rayboot.cli.help import example
from rayboot.cli.options import URI, config_option, input_option, optional_config, single_or_tuple
from rayboot.errors import RequestError

if TYPE_CHECKING:
    from rayboot.rounds.round import RoundResult

__all__ = ["demo", "evaluate", "finetune", "pretrain", "run_round"]


@click.command(epilog=example("rayboot demo --out runs/demo"))
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("runs/demo"),
    metavar="DIR",
    help="Folder to write everything to.",
)
@click.option(
    "--seed", type=int, default=0, metavar="N", help="Number added to every seed of the run."
)
def demo(out: Path, seed: int) -> None:
    """Run one whole round on synthetic faces: no network, no service, no GPU."""
    from rayboot.rounds.demo import demo_config, run_demo

    _echo_round(run_demo(out, demo_config(seed)))


@click.command(epilog=example("rayboot pretrain --config pretrain-baseline --output runs/weights"))
@config_option
@click.option(
    "--data", type=URI, show_default="the config's", help="Synthetic faces to learn from."
)
@click.option(
    "--output", type=URI, show_default="the config's", help="Folder to write the weights to."
)
def pretrain(config_path: Path, data: str | None, output: str | None) -> None:
    """Train a network on synthetic faces, tracked in MLflow; the same command resumes."""
    from rayboot.cli.task_config import load_task_config
    from rayboot.cluster.session import connect
    from rayboot.train.pretrain import prepare_pretrain, pretrain_tracked
    from rayboot.train.training_config import PretrainConfig

    config = load_task_config(PretrainConfig, config_path)
    changes = {"data": data, "output": output}
    plan = prepare_pretrain(config.replace(**{key: uri for key, uri in changes.items() if uri}))
    with connect():
        click.echo(pretrain_tracked(plan))


@click.command(epilog=example("rayboot finetune --config finetune-paper"))
@config_option
def finetune(config_path: Path) -> None:
    """Fine-tune on a pairs data set, tracked in MLflow; the same command resumes."""
    from rayboot.cli.task_config import load_task_config
    from rayboot.cluster.session import connect
    from rayboot.train.finetune import finetune_tracked, prepare_finetune
    from rayboot.train.training_config import FinetuneConfig

    plan = prepare_finetune(load_task_config(FinetuneConfig, config_path))
    with connect():
        click.echo(finetune_tracked(plan))


@click.command(epilog=example("rayboot evaluate --config evaluate-made-faces"))
@optional_config(
    "YAML of the run: a file, or a name from `rayboot configs list`; accuracy needs one.",
    default="with robustness, the shipped networks",
)
@click.option(
    "--experiment",
    type=click.Choice(["accuracy", "robustness"]),
    default="accuracy",
    help="Errors against ground truth; or self-consistency under rotation, on any photos.",
)
@input_option()
def evaluate(config_path: Path | None, experiment: str, inputs: tuple[str, ...]) -> None:
    """Evaluate models: rows, tables, plots and a page; the same command resumes."""
    if experiment == "robustness":
        _evaluate_robustness(config_path, inputs)
    elif config_path is None:
        raise RequestError("evaluate needs --config FILE, which names models and data sets")
    elif inputs:
        raise RequestError(
            "--input needs --experiment robustness; accuracy reads the `datasets` of the config"
        )
    else:
        _evaluate_accuracy(config_path)


def _evaluate_accuracy(config_path: Path) -> None:
    from rayboot.cli.task_config import load_task_config
    from rayboot.cluster.session import connect
    from rayboot.evaluate.evaluation_config import EvaluateConfig
    from rayboot.evaluate.metrics.bands import format_bands, tabulate_bands
    from rayboot.evaluate.run import evaluate, prepare_evaluation

    plan = prepare_evaluation(load_task_config(EvaluateConfig, config_path))
    with connect():
        result = evaluate(plan)
    for name in plan.config.datasets:
        rows = tabulate_bands(result.evaluation.results.errors(name), plan.config.bands)
        click.echo(f"{name}: {format_bands(rows, list(plan.models))}")
    click.echo(result.report)


def _evaluate_robustness(config_path: Path | None, inputs: tuple[str, ...]) -> None:
    from rayboot.cli.task_config import load_task_config
    from rayboot.cluster.session import connect
    from rayboot.rounds.robustness import RobustnessConfig, prepare_robustness, run_robustness

    config = (
        RobustnessConfig()
        if config_path is None
        else load_task_config(RobustnessConfig, config_path)
    )
    plan = prepare_robustness(config.replace(input=single_or_tuple(inputs)) if inputs else config)
    with connect():
        result = run_robustness(plan)
    for name, curve in result.curves.items():
        means = ", ".join(f"{turn:+g}: {interval.mean:.2f}" for turn, interval in curve.items())
        click.echo(f"{name}, NME in % by rotation in yaw, degrees: {means}")
    steps = ", ".join(f"{step:g}" for step in result.steps_deg)
    click.echo(f"proposed yaw steps: {steps} degrees")
    click.echo(result.proposal)


@click.command("round", epilog=example("rayboot round --config round-photos --input photos/"))
@config_option
@input_option()
@click.option(
    "--output",
    "output",
    metavar="DIR",
    show_default="the config's",
    help="Folder to write everything to.",
)
@click.option(
    "--rounds",
    "num_rounds",
    type=click.IntRange(1),
    metavar="N",
    show_default="one round, in DIR itself",
    help="Run up to N rounds, each taught by the champion before, in DIR/round-1 and so on.",
)
def run_round(
    config_path: Path, inputs: tuple[str, ...], output: str | None, num_rounds: int | None
) -> None:
    """Generate, fine-tune, evaluate, gate and register; the same command resumes."""
    from rayboot.cli.task_config import load_task_config
    from rayboot.rounds.round import run_round
    from rayboot.rounds.round_config import RoundConfig
    from rayboot.rounds.series import run_rounds

    config = load_task_config(RoundConfig, config_path)
    changes = {"photos": single_or_tuple(inputs), "output": output}
    config = config.replace(**{key: uri for key, uri in changes.items() if uri})
    if num_rounds is None:
        _echo_round(run_round(config))
        return
    for number, result in enumerate(run_rounds(config, num_rounds), 1):
        click.echo(f"round {number}")
        _echo_round(result)


def _echo_round(result: "RoundResult") -> None:
    from rayboot.evaluate.metrics.bands import format_bands

    click.echo(format_bands(result.rows, list(result.errors)))
    decision = "passed, the candidate is the champion" if result.promoted else "not passed"
    click.echo(f"gate:   {decision}: {result.reason}")
    click.echo(f"report: {result.report}")
    click.echo(f"MLflow: {result.tracking_uri}")
    click.echo(f"        open with: mlflow ui --backend-store-uri {result.tracking_uri}")
