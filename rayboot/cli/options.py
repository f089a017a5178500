"""Options that several commands take."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

__all__ = [
    "COUNTS",
    "config_option",
    "input_option",
    "optional_config",
    "single_or_tuple",
    "tracking_option",
]

Command = TypeVar("Command", bound=Callable[..., Any])

config_option = click.option(
    "--config",
    "config_path",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="YAML of the run; see configs/.",
)


def optional_config(words: str) -> Callable[[Command], Command]:
    """``--config FILE`` of a command that can do without; ``words`` are its help."""
    return click.option(
        "--config", "config_path", type=click.Path(path_type=Path), metavar="FILE", help=words
    )


input_option = click.option(
    "--input",
    "inputs",
    multiple=True,
    metavar="URI",
    help="Photographs, instead of the config's; may be given several times.",
)

tracking_option = click.option(
    "--tracking-uri",
    metavar="URI",
    help="MLflow's; by default MLFLOW_TRACKING_URI, or a SQLite store in this folder.",
)


class _Counts(click.ParamType):
    """Whole numbers above zero with commas between them."""

    name = "N[,N...]"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        if not isinstance(value, str):
            return tuple(value)
        try:
            counts = tuple(int(text) for text in value.split(","))
        except ValueError:
            counts = ()
        if not counts or min(counts) < 1:
            self.fail(f"expected whole numbers such as 200000,1000000; got {value}", param, ctx)
        return counts


COUNTS = _Counts()


def single_or_tuple(inputs: tuple[str, ...]) -> str | tuple[str, ...]:
    """A single input as it is, several together."""
    return inputs[0] if len(inputs) == 1 else inputs
