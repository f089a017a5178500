"""Options that several commands share."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.shell_completion import CompletionItem

from rayboot.cli.shipped_configs import find_config, list_configs
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
    PathType = click.ParamType[Path]
else:
    # Generic in recent versions of click only.
    CountListType = UriType = PathType = click.ParamType

Command = TypeVar("Command", bound=Callable[..., Any])


class _Uri(UriType):
    """A URI as text: bytes that are no UTF-8 are escaped, so that it can be stored and printed."""

    name = "URI"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Escapes the text of the option."""
        return escape_undecodable(str(value))


URI = _Uri()


class _ConfigFile(PathType):
    """A YAML file, or the name of a config that comes with rayboot where no such file exists."""

    name = "FILE|NAME"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """Returns the file; a name without a folder may be that of a shipped config."""
        path = Path(value)
        if path.is_file() or path.name != str(value):
            return path
        return find_config(str(value))

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Completes files, and names of shipped configs."""
        names = [config.name for config in list_configs() if config.name.startswith(incomplete)]
        return [*map(CompletionItem, names), CompletionItem(incomplete, type="file")]


_CONFIG = _ConfigFile()

config_option = click.option(
    "--config",
    "config_path",
    required=True,
    type=_CONFIG,
    help="YAML of the run: a file, or a name from `rayboot configs list`.",
)


def optional_config(
    help_text: str, default: str = "settings for a laptop"
) -> Callable[[Command], Command]:
    """Returns the decorator for ``--config`` of a command that works without a config.

    Args:
        help_text: sentence about the config.
        default: what happens without a config, for the help.
    """
    return click.option(
        "--config", "config_path", type=_CONFIG, help=help_text, show_default=default
    )


def input_option(
    help_text: str = "Folder of photos; may be given several times.", *, required: bool = False
) -> Callable[[Command], Command]:
    """Returns the decorator for ``--input`` of a command that reads photos, as ``inputs``.

    Args:
        help_text: what the command takes.
        required: whether no config names the photos.
    """
    return click.option(
        "--input",
        "inputs",
        multiple=True,
        required=required,
        type=URI,
        show_default=False if required else "the config's",
        help=help_text,
    )


prune_option = click.option(
    "--prune", is_flag=True, help="Take out what was made of photos that are no longer there."
)

tracking_option = click.option(
    "--tracking-uri",
    metavar="URI",
    show_default="MLFLOW_TRACKING_URI, or mlflow.db in the working folder",
    help="MLflow store, a URI as MLflow takes it.",
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
