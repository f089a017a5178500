"""The group of all commands: turns rayboot's errors into one sentence and an exit status."""

import logging
import shlex
import traceback
from typing import Any

import click

from rayboot.cli.help import HelpGroup
from rayboot.cli.messages import log_exception, print_error, print_note
from rayboot.cluster.failures import find_rayboot_error
from rayboot.cluster.versions import require_matching_versions
from rayboot.credentials import redact_url_credentials
from rayboot.errors import RequestError
from rayboot.logs import logs_are_json

__all__ = ["CommandGroup"]

_LOG = logging.getLogger(__name__)

_ARGUMENTS_KEY = "rayboot.arguments"

_CLICK_ERRORS = (click.ClickException, click.Abort, click.exceptions.Exit)

_RESUMABLE = (
    *("demo", "synthesize", "pack", "generate", "pretrain", "finetune", "evaluate", "round"),
    *("reconstruct", "export-pairs"),
)
"""Commands that resume where they were stopped when they are given again."""


class CommandGroup(HelpGroup):
    """Runs a command; prints errors as one sentence and sets the exit status."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Stores the arguments, for the message after an interruption."""
        ctx.meta[_ARGUMENTS_KEY] = list(args)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the command; ends the process with the exit status of its error."""
        try:
            require_matching_versions()
            return super().invoke(ctx)
        except KeyboardInterrupt:
            if ctx.invoked_subcommand in _RESUMABLE:
                command = shlex.join(["rayboot", *ctx.meta[_ARGUMENTS_KEY]])
                print_note(
                    redact_url_credentials(f"\nrayboot: interrupted; resume with: {command}")
                )
            ctx.exit(130)
        except Exception as error:
            known = find_rayboot_error(error)
            if known is None:
                if not logs_are_json() or isinstance(error, _CLICK_ERRORS):
                    raise
                log_exception(error)
                ctx.exit(1)
            if ctx.params["debug"]:
                _show_traceback(error)
            print_error(" ".join(str(known).split()), known)
            ctx.exit(2 if isinstance(known, RequestError) else 1)


def _show_traceback(error: Exception) -> None:
    if logs_are_json():
        _LOG.debug("traceback", exc_info=error)
    else:
        click.echo(
            redact_url_credentials("".join(traceback.format_exception(error))), err=True, nl=False
        )
