"""The command line: reads a config, calls one function, prints where the result is.

Everything a command needs is imported inside it, so that ``rayboot --help`` loads
neither Ray nor PyTorch. Results go to stdout, logs to stderr. Exit status: 0 done,
1 the run failed, 2 the request was wrong.
"""

import logging
import sys
import traceback
from pathlib import Path
from typing import Any

import click

from rayboot import __version__
from rayboot.errors import RaybootError, RequestError

__all__ = ["main"]


class _Commands(click.Group):
    """Turns rayboot's errors into one sentence and an exit status."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except Exception as error:
            # Ray wraps what a worker raised; its text would be the worker's traceback.
            cause = getattr(error, "cause", None)
            known = cause if isinstance(cause, RaybootError) else error
            if not isinstance(known, RaybootError):
                raise
            if ctx.params["debug"]:
                traceback.print_exception(error)
            click.echo(f"rayboot: {' '.join(str(known).split())}", err=True)
            ctx.exit(2 if isinstance(known, RequestError) else 1)


_config_option = click.option(
    "--config",
    "config_path",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="YAML of the run; see configs/.",
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
