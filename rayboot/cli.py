"""The command line: reads a config, calls one function, prints where the result is.

Everything a command needs is imported inside it, so that ``rayboot --help`` loads
neither Ray nor PyTorch. Results go to stdout, logs to stderr. Exit status: 0 done,
1 the run failed, 2 the request was wrong.
"""

import logging
import os
import shlex
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rayboot import __version__
from rayboot.errors import RaybootError, RequestError

if TYPE_CHECKING:
    from rayboot.rounds.round import RoundResult

__all__ = ["main"]


class _Commands(click.Group):
    """Turns rayboot's errors into one sentence and an exit status."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        # In the order of a user's work, not of the alphabet.
        return sorted(super().list_commands(ctx), key=_ORDER.index)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta[_ARGUMENTS] = list(args)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            if ctx.invoked_subcommand in _RESUMABLE:
                command = shlex.join(["rayboot", *ctx.meta[_ARGUMENTS]])
                click.echo(f"\nrayboot: interrupted; to go on: {command}", err=True)
            ctx.exit(130)
        except Exception as error:
            known = _known_cause(error)
            if known is None:
                raise
            if ctx.params["debug"]:
                traceback.print_exception(error)
            click.echo(f"rayboot: {' '.join(str(known).split())}", err=True)
            ctx.exit(2 if isinstance(known, RequestError) else 1)


def _known_cause(error: BaseException | None) -> RaybootError | None:
    """What rayboot raised; Ray wraps what a worker raised, in the worker's traceback."""
    while error is not None:
        if isinstance(error, RaybootError):
            return error
        error = getattr(error, "cause", None) or error.__cause__
    return None


_config_option = click.option(
    "--config",
    "config_path",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="YAML of the run; see configs/.",
)


_input_option = click.option(
    "--input",
    "inputs",
    multiple=True,
    metavar="URI",
    help="Photographs, instead of the config's; may be given several times.",
)

_ARGUMENTS = "rayboot.arguments"

_RESUMABLE = ("demo", "pack", "generate", "finetune", "evaluate", "round", "reconstruct")
"""The same command again goes on where one of these was stopped."""

_ORDER = (
    "demo",
    "doctor",
    "synthesize",
    "pack",
    "plan",
    "generate",
    "preview",
    "finetune",
    "evaluate",
    "round",
    "status",
    "rollback",
    "trace",
    "reconstruct",
    "import-weights",
)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="rayboot")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def main(debug: bool) -> None:
    """Bootstrap single-image 3D face reconstruction without 3D ground truth."""
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.DEBUG if debug else logging.INFO,
        format="%(asctime)s %(message)s",
        datefmt="%H:%M:%S",
    )
    if not debug:
        # What they tell at INFO (tables made, an accelerator not found) is of no use to users.
        os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
        for name in ("OpenGL", "aiobotocore", "botocore"):
            logging.getLogger(name).setLevel(logging.WARNING)


@main.command()
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("runs/demo"),
    metavar="DIR",
    show_default=True,
    help="Where everything is written.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Moves every seed of the run.")
def demo(out: Path, seed: int) -> None:
    """Run one whole round on made faces: no network, no service, no GPU."""
    from rayboot.rounds.demo import demo_config, run_demo

    _echo_round(run_demo(out, demo_config(seed)))


@main.command()
@click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Check what this run needs; without it, what a demo on this machine needs.",
)
def doctor(config_path: Path | None) -> None:
    """Check what a run needs, with a remedy for each failure."""
    from rayboot.doctor import diagnose, format_check, read_needs

    failed = 0
    for check in diagnose(read_needs(config_path)):
        click.echo(format_check(check))
        failed += check.status == "FAIL"
    if failed:
        raise RaybootError(f"{failed} of the checks failed; each has its remedy above")


@main.command()
@_config_option
@click.option(
    "--output", "output_uri", required=True, metavar="URI", help="Where the set is written."
)
def synthesize(config_path: Path, output_uri: str) -> None:
    """Make faces with known 3D shape, in the layout of a real data set."""
    from rayboot.config import load_config
    from rayboot.data.storage import require_writable
    from rayboot.synthesis import SynthesisConfig, synthesize

    config = load_config(SynthesisConfig, config_path)
    require_writable(output_uri)
    synthesize(config, output_uri)
    click.echo(output_uri)


@main.command()
@_config_option
@_input_option
@click.option(
    "--output", "output_uri", metavar="URI", help="Pairs data set; instead of the config's."
)
@click.option(
    "--retry-rejects",
    "retried_stage",
    metavar="STAGE",
    help="Try the photos again that this stage rejected: read, landmarks, select, ...",
)
def generate(
    config_path: Path, inputs: tuple[str, ...], output_uri: str | None, retried_stage: str | None
) -> None:
    """Make bootstrap pairs from photographs; the same command again resumes."""
    from rayboot.cluster import connect
    from rayboot.config import load_config
    from rayboot.pipeline.config import GenerateConfig
    from rayboot.pipeline.generate import generate
    from rayboot.pipeline.request import prepare
    from rayboot.pipeline.retry import forget_rejects
    from rayboot.pipeline.summary import format_summary

    config = load_config(GenerateConfig, config_path)
    changes = {"input": _one_or_all(inputs), "output": output_uri}
    plan = prepare(config.replace(**{key: uri for key, uri in changes.items() if uri}))
    if retried_stage is not None:
        count = forget_rejects(plan.output, retried_stage)
        click.echo(f"{count} photos that stage {retried_stage} rejected are tried again", err=True)
    with connect():
        summary = generate(plan)
    click.echo(format_summary(summary), err=True)
    click.echo(summary.uri)


@main.command()
@click.option("--input", "inputs", multiple=True, required=True, metavar="URI", help="Photographs.")
@click.option(
    "--output", "output_uri", required=True, metavar="URI", help="Where the packed set is written."
)
def pack(inputs: tuple[str, ...], output_uri: str) -> None:
    """Put photographs into few large files, which are listed and read far faster."""
    from rayboot.cluster import connect
    from rayboot.pipeline.pack import pack, prepare_pack

    plan = prepare_pack(_one_or_all(inputs), output_uri)
    with connect():
        count = pack(plan)
    click.echo(f"{count} photos", err=True)
    click.echo(output_uri)


@main.command()
@_config_option
@_input_option
@click.option("--nodes", type=click.IntRange(1), metavar="N", help="Print the pools for N nodes.")
def plan(config_path: Path, inputs: tuple[str, ...], nodes: int | None) -> None:
    """Measure a sample; say how long the whole input takes on 1 to 64 nodes."""
    import yaml

    from rayboot.config import load_config
    from rayboot.pipeline.capacity import forecast, format_forecasts
    from rayboot.pipeline.config import GenerateConfig
    from rayboot.pipeline.sample import measure_input

    config = load_config(GenerateConfig, config_path)
    config = config.replace(input=_one_or_all(inputs)) if inputs else config
    size = measure_input(config)
    counts = (1, 2, 4, 8, 16, 32, 64) if nodes is None else (nodes,)
    rows = [forecast(size.measured, size.num_photos, size.node, n, config.pools) for n in counts]
    click.echo(f"{size.num_photos} photos; {format_forecasts(size.measured, size.node, rows)}")
    if nodes is not None:
        changes = {"pools": rows[0].pools.model_dump(mode="json", exclude_defaults=True)}
        click.echo(yaml.safe_dump(changes, sort_keys=False), nl=False)


@main.command()
@click.argument("uri")
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The sheet: .html, .png or .jpg.",
)
@click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="URI holds photographs: show what this config would make of a few.",
)
def preview(uri: str, out: Path, config_path: Path | None) -> None:
    """Show a pairs data set as a contact sheet."""
    from rayboot.config import load_config
    from rayboot.pipeline.config import GenerateConfig
    from rayboot.pipeline.preview import preview_photos, write_preview

    if config_path is None:
        click.echo(write_preview(uri, out))
    else:
        click.echo(preview_photos(load_config(GenerateConfig, config_path), uri, out))


@main.command()
@_config_option
def finetune(config_path: Path) -> None:
    """Fine-tune on a pairs data set, tracked in MLflow."""
    from rayboot.cluster import connect
    from rayboot.config import load_config
    from rayboot.train.config import FinetuneConfig
    from rayboot.train.finetune import finetune_tracked, prepare_finetune

    plan = prepare_finetune(load_config(FinetuneConfig, config_path))
    with connect():
        click.echo(finetune_tracked(plan))


@main.command()
@click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="YAML of the run; see configs/. Robustness does without.",
)
@click.option(
    "--experiment",
    type=click.Choice(["accuracy", "robustness"]),
    default="accuracy",
    show_default=True,
    help="Against true shapes; or a network against itself, on any photos, as faces turn.",
)
@_input_option
def evaluate(config_path: Path | None, experiment: str, inputs: tuple[str, ...]) -> None:
    """Measure models; write rows, tables, plots and page. The same command resumes."""
    if experiment == "robustness":
        _evaluate_robustness(config_path, inputs)
    elif config_path is None:
        raise RequestError("evaluate needs --config FILE, which names models and sets of faces")
    elif inputs:
        raise RequestError("--input goes with --experiment robustness; true shapes need `sets`")
    else:
        _evaluate_accuracy(config_path)


def _evaluate_accuracy(config_path: Path) -> None:
    from rayboot.cluster import connect
    from rayboot.config import load_config
    from rayboot.evaluate.config import EvaluateConfig
    from rayboot.evaluate.experiment import evaluate, prepare_evaluation
    from rayboot.evaluate.report import format_bands, tabulate_bands

    plan = prepare_evaluation(load_config(EvaluateConfig, config_path))
    with connect():
        result = evaluate(plan)
    for name in plan.config.sets:
        rows = tabulate_bands(result.measured.results.errors(name), plan.config.bands)
        click.echo(f"{name}: {format_bands(rows, list(plan.models))}")
    click.echo(result.report)


def _evaluate_robustness(config_path: Path | None, inputs: tuple[str, ...]) -> None:
    from rayboot.cluster import connect
    from rayboot.config import load_config
    from rayboot.rounds.robustness import RobustnessConfig, prepare_robustness, run_robustness

    config = (
        RobustnessConfig() if config_path is None else load_config(RobustnessConfig, config_path)
    )
    plan = prepare_robustness(config.replace(input=_one_or_all(inputs)) if inputs else config)
    with connect():
        result = run_robustness(plan)
    for name, curve in result.curves.items():
        figures = ", ".join(f"{turn:+g}: {found.mean:.2f}" for turn, found in curve.items())
        click.echo(f"{name}, NME in % by turn in degrees: {figures}")
    click.echo(f"proposed turns: {', '.join(f'{step:g}' for step in result.steps_deg)} degrees")
    click.echo(result.proposal)


@main.command("round")
@_config_option
@_input_option
@click.option("--output", "output", metavar="DIR", help="Folder; instead of the config's.")
@click.option(
    "--rounds",
    "num_rounds",
    type=click.IntRange(1),
    metavar="N",
    help="Go on for up to N rounds, each taught by the champion before; at DIR/round-1, ...",
)
def run_round(
    config_path: Path, inputs: tuple[str, ...], output: str | None, num_rounds: int | None
) -> None:
    """Generate, fine-tune, evaluate, gate, register; resumable as one."""
    from rayboot.config import load_config
    from rayboot.rounds.config import RoundConfig
    from rayboot.rounds.round import run_round
    from rayboot.rounds.series import run_rounds

    config = load_config(RoundConfig, config_path)
    changes = {"photos": _one_or_all(inputs), "output": output}
    config = config.replace(**{key: uri for key, uri in changes.items() if uri})
    if num_rounds is None:
        _echo_round(run_round(config))
        return
    for number, result in enumerate(run_rounds(config, num_rounds), 1):
        click.echo(f"round {number}")
        _echo_round(result)


_tracking_option = click.option(
    "--tracking-uri",
    metavar="URI",
    help="MLflow's; by default MLFLOW_TRACKING_URI, or a SQLite store in this folder.",
)


@main.command()
@click.argument("folder", type=click.Path(path_type=Path), default=Path("runs"))
@_tracking_option
def status(folder: Path, tracking_uri: str | None) -> None:
    """Show the rounds below FOLDER (default: runs), and who is champion."""
    from rayboot.rounds.status import describe_registry, describe_rounds

    click.echo(describe_rounds(folder))
    tracking_uri = tracking_uri or os.environ.get("MLFLOW_TRACKING_URI")
    if tracking_uri is not None:
        click.echo(describe_registry(tracking_uri))


@main.command()
@click.option(
    "--model", "name", default="rayboot-vrn", show_default=True, help="The registered model."
)
@_tracking_option
def rollback(name: str, tracking_uri: str | None) -> None:
    """Make the champion's predecessor the champion again."""
    from rayboot.registry.promotion import roll_back
    from rayboot.registry.tracking import default_tracking_uri

    done = roll_back(tracking_uri or default_tracking_uri(), name)
    click.echo(f"models:/{name}/{done.champion} is the champion again, instead of {done.former}")


@main.command()
@click.argument("target", metavar="FACE_ID|MODEL")
@click.option("--data", multiple=True, metavar="URI", help="A further data set to search.")
@_tracking_option
def trace(target: str, data: tuple[str, ...], tracking_uri: str | None) -> None:
    """Find the data sets and models that used a photo; or what models:/... was made from."""
    from rayboot.registry.tracking import default_tracking_uri
    from rayboot.registry.versions import find_version
    from rayboot.rounds.provenance import describe_version
    from rayboot.rounds.trace import format_trace, trace_face

    tracking_uri = tracking_uri or default_tracking_uri()
    if target.startswith("models:/"):
        click.echo(describe_version(find_version(tracking_uri, target)))
    else:
        click.echo(format_trace(target, trace_face(tracking_uri, target, data)))


@main.command()
@click.option("--model", required=True, metavar="M", help="A weights file, or models:/NAME@ALIAS.")
@click.option("--input", "input_uri", required=True, metavar="URI", help="Photographs.")
@click.option(
    "--output", "output_uri", required=True, metavar="URI", help="Where meshes are written."
)
@click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Pools and kinds of files; without it, a laptop's.",
)
def reconstruct(model: str, input_uri: str, output_uri: str, config_path: Path | None) -> None:
    """Turn photographs into meshes (PLY and GLB, with colours); the same command resumes."""
    from rayboot.cluster import connect
    from rayboot.config import load_config
    from rayboot.pipeline.mesh_request import ReconstructConfig, prepare_meshes
    from rayboot.pipeline.meshes import reconstruct_photos

    config = None if config_path is None else load_config(ReconstructConfig, config_path)
    plan = prepare_meshes(model, input_uri, output_uri, config)
    with connect():
        summary = reconstruct_photos(plan)
    click.echo(f"{summary.num_meshes} meshes", err=True)
    for (stage, reason), count in sorted(summary.rejects.items()):
        click.echo(f"{count} without: {stage}, {reason}", err=True)
    click.echo(output_uri)


@main.command("import-weights")
@click.argument("src", type=click.Path(path_type=Path))
@click.argument("dst", type=click.Path(path_type=Path))
def import_weights(src: Path, dst: Path) -> None:
    """Convert vrn-unguided.t7 or vrn_unguided.pth to safetensors."""
    from rayboot.models.weights import import_weights

    import_weights(src, dst)
    click.echo(dst)


def _one_or_all(inputs: tuple[str, ...]) -> str | tuple[str, ...]:
    return inputs[0] if len(inputs) == 1 else inputs


def _echo_round(result: "RoundResult") -> None:
    from rayboot.evaluate.report import format_bands

    click.echo(format_bands(result.rows, list(result.errors)))
    decision = "passed, the champion now" if result.promoted else "not passed"
    click.echo(f"gate:   {decision}: {result.reason}")
    click.echo(f"report: {result.report}")
    click.echo(f"MLflow: {result.tracking_uri}")
    click.echo(f"        open with: mlflow ui --backend-store-uri {result.tracking_uri}")
