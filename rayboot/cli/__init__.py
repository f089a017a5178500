"""The command line: reads a config, calls one function, prints where the result is.

Everything a command needs is imported inside it, so that ``rayboot --help`` loads
neither Ray nor PyTorch. Results go to stdout, logs to stderr. Exit status: 0 done,
1 the run failed, 2 the request was wrong.
"""

import logging
import os
import sys

import click

from rayboot import __version__
from rayboot.cli import cluster, data, models, training
from rayboot.cli.group import Commands

__all__ = ["main"]


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
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
    if not debug:
        # What they tell at INFO (tables made, an accelerator not found) is of no use to users.
        os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
        for name in ("OpenGL", "aiobotocore", "botocore"):
            logging.getLogger(name).setLevel(logging.WARNING)


# In the order of a user's work, not of the alphabet.
for _command in (
    training.demo,
    cluster.doctor,
    data.synthesize,
    data.pack,
    data.plan,
    data.generate,
    data.preview,
    training.finetune,
    training.evaluate,
    training.run_round,
    models.status,
    models.rollback,
    models.trace,
    models.reconstruct,
    cluster.submit,
    models.import_weights,
):
    main.add_command(_command)
