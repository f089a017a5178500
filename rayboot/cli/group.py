"""How commands fail: rayboot's errors as one sentence and an exit status."""

import shlex
import traceback
from typing import Any

import click

from rayboot.errors import RaybootError, RequestError
from rayboot.versions import require_submitters_versions

__all__ = ["Commands"]

_ARGUMENTS = "rayboot.arguments"

_RESUMABLE = ("demo", "pack", "generate", "finetune", "evaluate", "round", "reconstruct")
"""The same command again goes on where one of these was stopped."""


class Commands(click.Group):
    """Turns rayboot's errors into one sentence and an exit status."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order of a user's work, not of the alphabet."""
        return list(self.commands)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keeps the arguments, to be named after an interruption."""
        ctx.meta[_ARGUMENTS] = list(args)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the command; ends the process with the status that its error means."""
        try:
            require_submitters_versions()
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
