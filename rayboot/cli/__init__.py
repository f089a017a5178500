"""The command line: each command reads a config, calls one function and prints its result.

What a command needs is imported inside the command, so that ``rayboot --help`` loads
neither Ray nor PyTorch. Results go to stdout, logs to stderr. Exit status: 0 done,
1 the run failed, 2 the request was wrong.
"""

import logging
import os
from typing import Literal

import click

from rayboot import __version__
from rayboot.cli import (
    cluster_commands,
    config_commands,
    data_commands,
    model_commands,
    serving_commands,
    training_commands,
)
from rayboot.cli.group import CommandGroup
from rayboot.cli.help import example
from rayboot.logs import FORMAT_VARIABLE, logging_to_stderr

__all__ = ["main"]


@click.group(
    cls=CommandGroup,
    context_settings={"help_option_names": ["-h", "--help"], "show_default": True},
    epilog=example("rayboot reconstruct --input photo.jpg --output meshes"),
)
@click.version_option(__version__, prog_name="rayboot")
@click.option("--debug", is_flag=True, help="Show the traceback of an error, and every reject.")
@click.option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    default="text",
    envvar=FORMAT_VARIABLE,
    show_envvar=True,
    help="Format of the lines on stderr.",
)
@click.pass_context
def main(context: click.Context, debug: bool, log_format: Literal["text", "json"]) -> None:
    """Bootstrap single-image 3D face reconstruction without 3D ground truth."""
    level = logging.DEBUG if debug else logging.INFO
    command = context.invoked_subcommand or ""
    context.with_resource(logging_to_stderr(log_format, command, level))
    if log_format == "json":
        # MLflow reads this when it is imported; its own handler would write text.
        os.environ.setdefault("MLFLOW_CONFIGURE_LOGGING", "false")
        # tqdm reads this when it is imported; progress bars are no log lines.
        os.environ.setdefault("TQDM_DISABLE", "1")
        logging.getLogger("mlflow").setLevel(logging.WARNING)
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")


# In the order in which a user needs them, which `rayboot --help` keeps.
for _command in (
    training_commands.demo,
    cluster_commands.doctor,
    data_commands.synthesize,
    data_commands.pack,
    data_commands.plan,
    data_commands.generate,
    data_commands.preview,
    data_commands.export_pairs,
    training_commands.pretrain,
    training_commands.finetune,
    training_commands.evaluate,
    training_commands.run_round,
    model_commands.status,
    model_commands.rollback,
    model_commands.trace,
    model_commands.reconstruct,
    serving_commands.serve,
    cluster_commands.submit,
    cluster_commands.support_bundle,
    model_commands.import_weights,
    model_commands.export_onnx,
    config_commands.configs,
    config_commands.schema,
    config_commands.completion,
):
    main.add_command(_command)
