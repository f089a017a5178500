"""Command that starts the stack, prints its addresses, and stops it at Ctrl-C."""

import signal
import sys
import time
from pathlib import Path
from types import FrameType

import click

from infra.stack.errors import StackError
from infra.stack.stack import Stack, StackSettings, running_stack

_POLL_S = 1.0
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Signals of Ctrl-C, of service managers, and of a terminal that is closed."""


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--folder",
    type=click.Path(path_type=Path),
    default=Path("runs/stack"),
    show_default=True,
    help="Folder of data, logs and secrets.",
)
@click.option(
    "--first-port",
    type=click.IntRange(20000, 31000),
    metavar="N",
    help="Lowest port; by default the usual ports of the services, where they are free.",
)
@click.option(
    "--worker-cpus", type=click.IntRange(1), metavar="N", help="CPUs of each of the two workers."
)
@click.option(
    "--store-mb",
    type=click.IntRange(100),
    default=400,
    show_default=True,
    help="Size of the object store of each node, in MiB.",
)
@click.option("--without-prometheus", is_flag=True, help="Collect no metrics.")
def main(
    folder: Path,
    first_port: int | None,
    worker_cpus: int | None,
    store_mb: int,
    without_prometheus: bool,
) -> None:
    """Runs a Ray head, two workers, S3, MLflow on PostgreSQL and Prometheus until Ctrl-C."""
    for number in _STOP_SIGNALS:
        signal.signal(number, _interrupt)
    settings = StackSettings(folder, first_port, worker_cpus, store_mb, not without_prometheus)
    try:
        with running_stack(settings, _print_status) as stack:
            _print_addresses(stack)
            _wait_for_end(stack)
    except KeyboardInterrupt:
        _print_status("stopped")
    except StackError as error:
        _print_status(str(error))
        sys.exit(1)


def _print_addresses(stack: Stack) -> None:
    for name, url in stack.addresses().items():
        click.echo(f"{name:12}{url}")
    click.echo("\nIn another shell:")
    for name, value in stack.exports().items():
        click.echo(f"export {name}={value}")
    click.echo("\nCtrl-C ends the stack.")
    sys.stdout.flush()


def _wait_for_end(stack: Stack) -> None:
    while (ended := stack.find_ended_service()) is None:
        time.sleep(_POLL_S)
    raise StackError(f"{ended.name} ended unexpectedly; see {ended.log}")


def _interrupt(number: int, frame: FrameType | None) -> None:
    # Further signals are ignored, because services would be left running.
    for each in _STOP_SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    raise KeyboardInterrupt


def _print_status(line: str) -> None:
    click.echo(f"stack: {line}", err=True)


if __name__ == "__main__":
    main()
