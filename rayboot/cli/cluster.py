"""Commands about the machines that runs are on."""

from pathlib import Path

import click

from rayboot.errors import RaybootError

__all__ = ["doctor"]


@click.command()
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
