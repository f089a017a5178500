"""Commands that check machines and services, and that use remote clusters."""

import sys
from pathlib import Path

import click

from rayboot.cli.help import example
from rayboot.cli.messages import print_note
from rayboot.cli.options import optional_config
from rayboot.errors import RaybootError, RequestError

__all__ = ["doctor", "submit", "support_bundle"]

_TASKS = (
    *("synthesize", "pack", "plan", "generate", "pretrain", "finetune", "evaluate", "round"),
    "reconstruct",
)
"""Names of :data:`rayboot.submission.tasks.TASKS`, which is imported only when needed."""


@click.command(epilog=example("rayboot doctor --config round-photos"))
@optional_config("YAML of the run to check for.", default="the demo on this machine")
@click.option("--gpu", is_flag=True, help="Check and measure this machine's GPU instead.")
@click.option(
    "--minutes", default=8.0, metavar="N", help="With --gpu: time limit of all parts together."
)
@click.option(
    "--parts", metavar="A,B", show_default="all", help="With --gpu: names of the parts to run."
)
@click.option(
    "--inputs",
    type=click.Path(path_type=Path),
    default=Path("runs/gpu-check-faces"),
    metavar="FOLDER",
    help="With --gpu: synthetic faces of the config synthesize-gpu-check.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("runs/gpu-check.json"),
    metavar="FILE",
    help="With --gpu: where to write what was measured.",
)
def doctor(
    config_path: Path | None, gpu: bool, minutes: float, parts: str | None, inputs: Path, out: Path
) -> None:
    """Check what a run needs, and print a remedy for each failure."""
    if gpu:
        _check_gpu(minutes, parts, inputs, out)
        return
    from rayboot.diagnostics.doctor import diagnose, format_check, read_requirements
    from rayboot.rounds.round_config import RoundConfig
    from rayboot.submission.tasks import load_any_config

    num_failed = 0
    requirements = read_requirements(config_path)
    config = None if config_path is None else load_any_config(config_path)
    if isinstance(config, RoundConfig):
        # A round has a store of its own by default.
        tracking_uri = config.with_absolute_paths().tracking_uri
        requirements = requirements._replace(tracking_uri=tracking_uri or requirements.tracking_uri)
        # A round generates with the network that it improves, whatever `generate.model` says.
        config = config.replace(generate=config.generate.replace(model=config.model))
    for check in diagnose(requirements, config):
        click.echo(format_check(check))
        num_failed += check.status == "FAIL"
    if num_failed:
        raise RaybootError(f"{num_failed} of the checks failed; see the remedy below each")


def _check_gpu(minutes: float, parts: str | None, inputs: Path, out: Path) -> None:
    from rayboot.diagnostics.gpu.check import (
        check_gpu_in_parts,
        format_record,
        select_parts,
        write_report,
    )

    records = []
    for record in check_gpu_in_parts(select_parts(parts), inputs, minutes):
        records.append(record)
        write_report(out, records)
        click.echo(format_record(record))
    print_note(f"written to {out}")
    if failed := [record.name for record in records if record.status == "FAILED"]:
        raise RaybootError(f"parts {', '.join(failed)} failed; see {out}")


@click.command(
    "support-bundle",
    epilog=example("rayboot support-bundle --config round-photos --run runs/photos"),
)
@optional_config("YAML of the run, which is included without secrets.", default="none")
@click.option(
    "--run",
    "runs",
    multiple=True,
    metavar="URI",
    show_default="none",
    help="Output of generate, finetune or round; may be given several times.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("rayboot-support.tar.gz"),
    metavar="FILE",
    help="Where to write the bundle.",
)
def support_bundle(config_path: Path | None, runs: tuple[str, ...], out: Path) -> None:
    """Collect what explains a failure in one file, without secrets and photos."""
    from rayboot.diagnostics.support_bundle import write_support_bundle

    bundle = write_support_bundle(out, config_path, runs)
    for name, (count, size) in bundle.summary().items():
        print_note(f"{size:>9} bytes  {name}{f' ({count} files)' if name.endswith('/') else ''}")
    for name, reason in sorted(bundle.missing.items()):
        print_note(f"missing: {name}: {reason}")
    click.echo(bundle.path)


@click.command(
    epilog=example("rayboot submit generate --config generate-bucket --address http://HOST:8265")
)
@click.argument("task", type=click.Choice(_TASKS), required=False, metavar="[TASK]")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@optional_config("YAML of the run, which is copied to the job.", default="none")
@click.option(
    "--address", required=True, metavar="URL", help="Ray's dashboard, such as http://HOST:8265."
)
@click.option(
    "--env",
    "environment",
    multiple=True,
    metavar="NAME=VALUE",
    show_default="none",
    help="Environment variable of the job, no secret; may be given several times.",
)
@click.option(
    "--follow",
    "job",
    metavar="JOB",
    show_default="TASK is submitted",
    help="Follow the log of a job that was submitted before.",
)
@click.option("--no-wait", is_flag=True, help="Print the job's id and return at once.")
@click.option("--allow-open-cluster", is_flag=True, help="Accept a cluster that requires no token.")
def submit(
    task: str | None,
    arguments: tuple[str, ...],
    config_path: Path | None,
    address: str,
    environment: tuple[str, ...],
    job: str | None,
    no_wait: bool,
    allow_open_cluster: bool,
) -> None:
    """Run TASK as a job on a Ray cluster, and follow its log.

    TASK is one of synthesize, pack, plan, generate, pretrain, finetune, evaluate, round and
    reconstruct. Its arguments other than --config follow after --, for example -- --input URI.
    """
    from rayboot.submission import prepare_submission, submit_job
    from rayboot.submission.prepare import require_cluster

    if (task is None) == (job is None):
        raise RequestError("submit needs either a TASK or --follow JOB")
    if task is None:
        require_cluster(address, allow_open=allow_open_cluster)
    else:
        submission = prepare_submission(
            task,
            config_path,
            address,
            arguments=arguments,
            environment=environment,
            allow_open=allow_open_cluster,
        )
        job = submit_job(submission)
        if no_wait:
            click.echo(job)
        else:
            print_note(job)
    assert job is not None
    if not no_wait:
        sys.exit(_follow(address, job))


def _follow(address: str, job: str) -> int:
    """Prints the job's log and returns its exit status; Ctrl-C asks whether to stop the job."""
    from rayboot.submission.job import follow_job, stop_job

    try:
        return follow_job(address, job, lambda text: click.echo(text, nl=False))
    except KeyboardInterrupt:
        command = f"rayboot submit --follow {job} --address {address}"
        try:
            stop = click.confirm(f"\nstop the job {job}?", err=True)
        except click.Abort:
            stop = False
        if stop:
            stop_job(address, job)
            print_note(f"{job} is being stopped")
        else:
            print_note(f"{job} continues; follow it again with: {command}")
        return 130
