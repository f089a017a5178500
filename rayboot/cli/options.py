"""Options that several commands share."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from rayboot.io.paths import escape_undecodable

__all__ = [
    "COUNTS",
    "URI",
    "config_option",
    "input_option",
    "optional_config",
    "prune_option",
    "single_or_tuple",
    "tracking_option",
]

if TYPE_CHECKING:
    CountListType = click.ParamType[tuple[int, ...]]
    UriType = click.ParamType[str]
else:
    # Generic in recent versions of click only.
    CountListType = UriType = click.ParamType

Command = TypeVar("Command", bound=Callable[..., Any])


class _Uri(UriType):
    """A URI as text: bytes that are no UTF-8 are escaped, so that it can be stored and printed."""

    name = "URI"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Escapes the text of the option."""
        return escape_undecodable(str(value))


URI = _Uri()

config_option = click.option(
    "--config",
    "config_path",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="YAML of the run; see configs/.",
)


def optional_config(help_text: str) -> Callable[[Command], Command]:
    """Returns the decorator for ``--config FILE`` of a command that works without a config."""
    return click.option(
        "--config", "config_path", type=click.Path(path_type=Path), metavar="FILE", help=help_text
    )


input_option = click.option(
    "--input",
    "inputs",
    multiple=True,
    type=URI,
    help="Photos, instead of the config's; may be given several times.",
)

prune_option = click.option(
    "--prune", is_flag=True, help="Take out what was made of photos that are no longer there."
)

tracking_option = click.option(
    "--tracking-uri",
    metavar="URI",
    help="MLflow store; by default MLFLOW_TRACKING_URI, or a SQLite file in the working folder.",
)


class _CountList(CountListType):
    """Positive integers, separated by commas."""

    name = "N[,N...]"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        """Parses the text of the option; a default may be a sequence of integers already."""
        if not isinstance(value, str):
            return tuple(value)
        try:
            counts = tuple(int(text) for text in value.split(","))
        except ValueError:
            counts = ()
        if not counts or min(counts) < 1:
            self.fail(f"expected positive integers such as 200000,1000000; got {value}", param, ctx)
        return counts


COUNTS = _CountList()


def single_or_tuple(inputs: tuple[str, ...]) -> str | tuple[str, ...]:
    """Returns a single input as a string, several as a tuple."""
    return inputs[0] if len(inputs) == 1 else inputs
