"""Commands about the machines that runs are on."""

import sys
from pathlib import Path

import click

from rayboot.cli.messages import print_note
from rayboot.cli.options import optional_config
from rayboot.errors import RaybootError, RequestError

__all__ = ["doctor", "submit", "support_bundle"]

_TASKS = ("synthesize", "plan", "generate", "finetune", "evaluate", "round", "reconstruct")


@click.command()
@optional_config("Check what this run needs; without it, what a demo on this machine needs.")
def doctor(config_path: Path | None) -> None:
    """Check what a run needs, with a remedy for each failure."""
    from rayboot.diagnostics.doctor import diagnose, format_check, read_requirements

    failed = 0
    for check in diagnose(read_requirements(config_path)):
        click.echo(format_check(check))
        failed += check.status == "FAIL"
    if failed:
        raise RaybootError(f"{failed} of the checks failed; each has its remedy above")


@click.command("support-bundle")
@optional_config("YAML of the run; it goes into the bundle without secrets.")
@click.option(
    "--run",
    "runs",
    multiple=True,
    metavar="URI",
    help="What a generate, finetune or round wrote; may be given several times.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("rayboot-support.tar.gz"),
    show_default=True,
    metavar="FILE",
    help="The bundle.",
)
def support_bundle(config_path: Path | None, runs: tuple[str, ...], out: Path) -> None:
    """Collect what helps to find a fault in one file, without secrets and photographs."""
    from rayboot.diagnostics import write_bundle

    bundle = write_bundle(out, config_path, runs)
    for name, (count, size) in bundle.summary().items():
        print_note(f"{size:>9} bytes  {name}{f' ({count} files)' if name.endswith('/') else ''}")
    for name, why in sorted(bundle.missing.items()):
        print_note(f"missing: {name}: {why}")
    click.echo(bundle.path)


@click.command()
@click.argument("task", type=click.Choice(_TASKS), required=False)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@optional_config("YAML of the run; it travels with the job.")
@click.option("--address", required=True, metavar="URL", help="Of the dashboard: http://HOST:8265.")
@click.option(
    "--env", "environment", multiple=True, metavar="NAME=VALUE", help="For the job; no secrets."
)
@click.option(
    "--follow", "job", metavar="JOB", help="Show the log of a job that runs already, to its end."
)
@click.option("--no-wait", is_flag=True, help="Print the job's id and leave.")
@click.option("--allow-open-cluster", is_flag=True, help="Take a cluster that asks for no token.")
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
    """Run TASK as a job on a Ray cluster; what TASK takes besides goes after --."""
    from rayboot.submission import prepare_submission, submit_job
    from rayboot.submission.prepare import require_cluster

    if (task is None) == (job is None):
        raise RequestError("submit needs a TASK, or --follow JOB, and not both")
    if task is None:
        require_cluster(address, allow_open=allow_open_cluster)
    else:
        if config_path is None:
            raise RequestError(f"submit {task} needs --config FILE")
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
    """The job's exit status; Ctrl-C asks whether to stop it, and leaves it running if not."""
    from rayboot.submission.job import follow_job, stop_job

    try:
        return follow_job(address, job, lambda text: click.echo(text, nl=False))
    except KeyboardInterrupt:
        again = f"rayboot submit --follow {job} --address {address}"
        try:
            stop = click.confirm(f"\nstop the job {job}?", err=True)
        except click.Abort:
            stop = False
        if stop:
            stop_job(address, job)
            print_note(f"{job} is being stopped")
        else:
            print_note(f"{job} runs on; to see it again: {again}")
        return 130
