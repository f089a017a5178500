"""The command: starts the stack, says how to reach it, and ends it at Ctrl-C."""

import signal
import sys
import time
from pathlib import Path
from types import FrameType

import click

from infra.stack.errors import StackError
from infra.stack.stack import Stack, StackSettings, running_stack

_LOOK_S = 1.0
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Ctrl-C; what ends a service manager's job, or a terminal."""


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--folder",
    type=click.Path(path_type=Path),
    default=Path("runs/stack"),
    show_default=True,
    help="Of data, logs and secrets.",
)
@click.option(
    "--first-port",
    type=click.IntRange(20000, 31000),
    metavar="N",
    help="Number all ports from here; by default well-known ones where they are free.",
)
@click.option("--worker-cpus", type=click.IntRange(1), metavar="N", help="Of each of two workers.")
@click.option(
    "--store-mb",
    type=click.IntRange(100),
    default=400,
    show_default=True,
    help="Object store of each node.",
)
@click.option("--without-prometheus", is_flag=True, help="Keep no figures.")
def main(
    folder: Path,
    first_port: int | None,
    worker_cpus: int | None,
    store_mb: int,
    without_prometheus: bool,
) -> None:
    """Ray head and two workers, S3, MLflow on PostgreSQL, Prometheus; until Ctrl-C."""
    for number in _ENDING:
        signal.signal(number, _interrupt)
    settings = StackSettings(folder, first_port, worker_cpus, store_mb, not without_prometheus)
    try:
        with running_stack(settings, _tell) as stack:
            _show(stack)
            _watch(stack)
    except KeyboardInterrupt:
        _tell("ended")
    except StackError as error:
        _tell(str(error))
        sys.exit(1)


def _show(stack: Stack) -> None:
    for name, url in stack.addresses().items():
        click.echo(f"{name:12}{url}")
    click.echo("\nIn another shell:")
    for name, value in stack.exports().items():
        click.echo(f"export {name}={value}")
    click.echo("\nCtrl-C ends the stack.")
    sys.stdout.flush()


def _watch(stack: Stack) -> None:
    while (ended := stack.ended()) is None:
        time.sleep(_LOOK_S)
    raise StackError(f"{ended.name} ended by itself; see {ended.log}")


def _interrupt(number: int, frame: FrameType | None) -> None:
    # Once: nothing disturbs the ending, or services would be left behind.
    for each in _ENDING:
        signal.signal(each, signal.SIG_IGN)
    raise KeyboardInterrupt


def _tell(line: str) -> None:
    click.echo(f"stack: {line}", err=True)


if __name__ == "__main__":
    main()
