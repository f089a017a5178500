"""Messages of commands other than their result: lines on stderr, or log lines if logs are JSON."""

import logging
from typing import TYPE_CHECKING

import click

from rayboot.credentials import redact_url_credentials
from rayboot.logs import failed_run, logged_run, logs_are_json

if TYPE_CHECKING:
    from rayboot.pipeline.input_changes import InputChanges

__all__ = ["log_exception", "print_changes", "print_error", "print_note", "print_unread"]

_LOG = logging.getLogger("rayboot.cli")


def print_note(text: str) -> None:
    """Prints information that is no result; ``text`` may have several lines."""
    if logs_are_json():
        _LOG.info("%s", text)
    else:
        click.echo(text, err=True)


def print_changes(changes: "InputChanges") -> None:
    """Prints how the input differs from the one that the output was made of, if it does."""
    from rayboot.pipeline.input_changes import describe_changes

    if note := describe_changes(changes):
        print_note(note)


def print_unread(note: str) -> None:
    """Prints which files of the input look like pictures and are not read, if there are any."""
    if note:
        print_note(note)


def print_error(sentence: str, error: BaseException) -> None:
    """Prints why a command ends without its result; JSON logs include the error's class."""
    if logs_are_json():
        with logged_run(failed_run()):
            _LOG.error("%s", sentence, extra={"error": type(error).__name__})
    else:
        click.echo(f"rayboot: {redact_url_credentials(sentence)}", err=True)


def log_exception(error: BaseException) -> None:
    """Logs an unexpected exception with its traceback; meant for JSON logs."""
    with logged_run(failed_run()):
        _LOG.critical("unexpected error in rayboot: %s", error, exc_info=error)
